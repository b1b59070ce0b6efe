import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import { startHeygenStandin, type HeygenStandin } from '@lipsync/heygen-standin';
import { afterAll, afterEach, beforeAll, onTestFinished } from 'vitest';
import type { SyncMode } from '../../src/contract/index.ts';
import type { HeygenMode } from '../../src/providers/heygen/heygen-options.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { planTimeline, probeClip, probeSpeech, type ClipWindow } from '../../src/media/index.ts';
import { systemClock } from '../../src/contract/system-ports.ts';
import {
  createHeygenClient,
  type CallLimits,
  type CreateOrder,
  type HeygenClient,
} from '../../src/providers/heygen/heygen-client.ts';
import { createHeygenHttp } from '../../src/providers/heygen/heygen-http.ts';
import { createHeygenProvider, type HeygenProviderOptions } from '../../src/providers/heygen/heygen-provider.ts';
import type { OperationStatus, RemoteProvider, TakeContext, TakeRequest } from '../../src/providers/provider.ts';
import { RenderProcessPool, type RenderPool } from '../../src/processes/render-pool.ts';
import { limits } from '../media/make-media.ts';
import type { Operation, OperationRequest } from '../../src/contract/provider-types.ts';

const execute = promisify(execFile);

type ClipName = 'spoken' | 'silent' | 'foreign' | 'still';
type SpeechName = 'short' | 'equal' | 'long' | 'stereoMp3';

export interface RequestWishes {
  readonly clip?: ClipName;
  readonly speech?: SpeechName;
  readonly syncMode?: SyncMode;
  readonly window?: ClipWindow;
  readonly heygenMode?: HeygenMode;
  readonly jobId?: string;
}

/** Every read moves an operation on, so that no test waits by the clock. */
const atOnce = { by: 'reads', pendingReads: 0, runningReads: 0 } as const;
const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=160x120:r=25:d=1.2'];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
const tone = (seconds: number): readonly string[] => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=300:duration=${seconds}:sample_rate=22050`,
];

/** How each input is made. */
const recipes: Readonly<
  Record<ClipName | SpeechName, { readonly name: string; readonly commands: readonly string[] }>
> = {
  spoken: { name: 'spoken.mp4', commands: [...picture, ...tone(1.2), ...h264, '-c:a', 'aac'] },
  silent: { name: 'silent.mp4', commands: [...picture, ...h264] },
  foreign: { name: 'foreign.mkv', commands: [...picture, '-c:v', 'mpeg4'] },
  still: { name: 'still.png', commands: ['-f', 'lavfi', '-i', 'testsrc2=s=160x120', '-frames:v', '1'] },
  short: { name: 'short.wav', commands: tone(0.8) },
  equal: { name: 'equal.wav', commands: tone(1.2) },
  long: { name: 'long.wav', commands: tone(2) },
  stereoMp3: { name: 'stereo.mp3', commands: [...tone(1.2), '-ac', '2'] },
};

/** What `make` makes of a name, made once. */
function onceEach<Name, Made>(make: (name: Name) => Promise<Made>): (name: Name) => Promise<Made> {
  const made = new Map<Name, Promise<Made>>();
  return (name) => {
    const known = made.get(name) ?? make(name);
    made.set(name, known);
    return known;
  };
}

/**
 * A stand-in, small media, and a provider for the tests of one file. Faults last for one test; settings and operations,
 * too, unless `keepsOperations`.
 */
export function useHeygen({ keepsOperations = false }: { readonly keepsOperations?: boolean } = {}) {
  let folder: string;
  let standin: HeygenStandin;
  let renderPool: RenderPool;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-'));
    standin = await startHeygenStandin({ settings: { pace: atOnce } });
    renderPool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 60_000 });
  });
  afterEach(async () => (keepsOperations ? standin.control.clearFaults() : standin.control.reset()));
  afterAll(async () => {
    await Promise.all([standin.close(), renderPool.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  const fileOf = onceEach(async (name: ClipName | SpeechName): Promise<string> => {
    const path = join(folder, recipes[name].name);
    await execute('ffmpeg', ['-nostdin', '-loglevel', 'error', ...recipes[name].commands, path]);
    return path;
  });
  const clipOf = onceEach(async (name: ClipName) => ({
    clipPath: await fileOf(name),
    clip: await probeClip(await fileOf(name), { limits }),
  }));
  const speechOf = onceEach(async (name: SpeechName) => ({
    speechPath: await fileOf(name),
    speech: await probeSpeech(await fileOf(name), { limits }),
  }));
  const clientOf = (callLimits: Partial<CallLimits> = {}): HeygenClient =>
    createHeygenClient(createHeygenHttp({ endpointUrl: standin.url, apiKey: standin.apiKey }), {
      readMs: 10_000,
      writeMs: 10_000,
      transferMs: 10_000,
      ...callLimits,
    });
  /** Of files that fit as they are, uploaded already. */
  const createOrderOf = async (mode: HeygenMode): Promise<CreateOrder> => {
    const upload = async (path: string): Promise<string> => {
      const form = new FormData();
      form.append('file', await openAsBlob(path), 'file');
      return clientOf().uploadAsset({ form, idempotencyKey: randomUUID() }, calm.signal);
    };
    const [videoAssetId, audioAssetId] = await Promise.all([
      upload(await fileOf('spoken')),
      upload(await fileOf('equal')),
    ]);
    return {
      videoAssetId,
      audioAssetId,
      mode,
      title: 'placed',
      callbackId: 'placed',
      callbackUrl: null,
      idempotencyKey: randomUUID(),
    };
  };
  let count = 0;
  return {
    client: clientOf,
    order: createOrderOf,
    /** An operation as `start` leaves it, ordered without making anything fit. */
    async placed(mode: HeygenMode = 'speed'): Promise<Operation> {
      return {
        id: await clientOf().createLipsync(await createOrderOf(mode), calm.signal),
        state: { mode, quotedMicros: 40_000, startedAtMs: 0 },
      };
    },
    get standin() {
      return standin;
    },
    provider: (options: Partial<HeygenProviderOptions> = {}): RemoteProvider =>
      createHeygenProvider({
        apiKey: standin.apiKey,
        endpoint: standin.url,
        maxConcurrent: 5,
        timeoutMs: 60_000,
        pollIntervalMs: 100,
        microsPerSecond: { speed: 33_300, precision: 66_700 },
        renderPool,
        clock: systemClock,
        ...options,
        limits: { retryPauseMs: 5, freshMs: 0, ...options.limits },
      }),
    async request({
      clip = 'silent',
      speech = 'equal',
      syncMode = 'loop',
      window = {},
      heygenMode = 'speed',
      jobId,
    }: RequestWishes = {}): Promise<TakeRequest> {
      const inputs = { ...(await clipOf(clip)), ...(await speechOf(speech)) };
      const attemptFolder = await mkdtemp(join(folder, 'attempt-'));
      count += 1;
      return {
        ...inputs,
        jobId: jobId ?? `job_${count}`,
        clipDigest: 'unused',
        timeline: planTimeline(inputs.clip, inputs.speech.durationMs, { syncMode, window }),
        mouthCurvePath: 'unused',
        silenceMode: 'generate',
        providerOptions: { heygen: { mode: heygenMode } },
        takePath: join(attemptFolder, 'take.mp4'),
      };
    },
  };
}

export const calm: TakeContext = { signal: new AbortController().signal, onProgress: () => undefined };

export function orderOf(
  provider: RemoteProvider,
  request: TakeRequest,
  signal: AbortSignal = calm.signal,
): Promise<OperationRequest> {
  return provider.prepareRequest(request, { ...calm, signal, replaced: null, idempotencyKey: `${request.jobId}-0` });
}

export async function startOf(
  provider: RemoteProvider,
  request: TakeRequest,
  signal: AbortSignal = calm.signal,
): Promise<Operation> {
  return provider.start(await orderOf(provider, request, signal), { ...calm, signal });
}

/** Asks until the operation has ended. */
export async function endOf(
  provider: RemoteProvider,
  operation: Operation,
): Promise<Exclude<OperationStatus, { status: 'pending' }>> {
  for (let asked = 0; asked < 100; asked += 1) {
    const status = await provider.check(operation, calm);
    if (status.status !== 'pending') return status;
  }
  throw new Error('The operation does not end.');
}

/** The error that `work` ends with. */
export async function errorOf(work: Promise<unknown>): Promise<LipsyncError> {
  const outcome = await work.catch((error: unknown) => error);
  if (LipsyncError.isInstance(outcome)) return outcome;
  throw new Error('No LipsyncError was thrown.', { cause: outcome });
}

/** As `endOf`, for an operation that is to succeed. */
export async function doneOf(
  provider: RemoteProvider,
  operation: Operation,
): Promise<Extract<OperationStatus, { status: 'done' }>> {
  const status = await endOf(provider, operation);
  if (status.status === 'done') return status;
  throw new Error(`The operation failed: ${status.message}`);
}

/** A server of somebody else, and the headers that it was asked with. */
export async function serve(
  answer: (response: ServerResponse) => void,
): Promise<{ readonly url: string; readonly seen: readonly string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(inspect(request.rawHeaders));
    answer(response);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  // `as`: a server that listens on a port has an address of this kind.
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}
