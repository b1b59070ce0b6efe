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
import { HeygenClient, type CallTimeouts, type NewLipsync } from '../../src/providers/heygen/heygen-client.ts';
import { HeygenHttp } from '../../src/providers/heygen/heygen-http.ts';
import { HeygenProvider, type HeygenProviderOptions } from '../../src/providers/heygen/heygen-provider.ts';
import type { OperationStatus, RemoteProvider, TakeContext, TakeRequest } from '../../src/providers/provider.ts';
import { RenderProcessPool, type RenderPool } from '../../src/processes/render-pool.ts';
import { limits } from '../media/make-media.ts';
import type { Operation, OperationRequest } from '../../src/contract/provider-types.ts';

const execute = promisify(execFile);

type ClipName = 'spoken' | 'silent' | 'foreign' | 'still';
type SpeechName = 'short' | 'equal' | 'long' | 'stereoMp3';

export interface RequestOptions {
  readonly clip?: ClipName;
  readonly speech?: SpeechName;
  readonly syncMode?: SyncMode;
  readonly window?: ClipWindow;
  readonly heygenMode?: HeygenMode;
  readonly jobId?: string;
}

/** Every read returns the final state, so that no test waits for the clock. */
const atOnce = { by: 'reads', pendingReads: 0, runningReads: 0 } as const;
const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=160x120:r=25:d=1.2'];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
const tone = (seconds: number): readonly string[] => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=300:duration=${seconds}:sample_rate=22050`,
];

/** ffmpeg arguments that create each input. */
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

/** Calls `make` once per name. */
function memoize<Name, Made>(make: (name: Name) => Promise<Made>): (name: Name) => Promise<Made> {
  const made = new Map<Name, Promise<Made>>();
  return (name) => {
    const known = made.get(name) ?? make(name);
    made.set(name, known);
    return known;
  };
}

/**
 * Starts a HeyGen stand-in for the tests of one file, and creates small media and providers. Faults last for one test;
 * settings and operations as well, unless `keepsOperations`.
 */
export function useHeygen({ keepsOperations = false }: { readonly keepsOperations?: boolean } = {}) {
  let folder: string;
  let standin: HeygenStandin;
  let renderPool: RenderPool;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-'));
    standin = await startHeygenStandin({ settings: { pace: atOnce, mouth: 'old' } });
    renderPool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 60_000 });
  });
  afterEach(async () => (keepsOperations ? standin.control.clearFaults() : standin.control.reset()));
  afterAll(async () => {
    await Promise.all([standin.close(), renderPool.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  const createFile = memoize(async (name: ClipName | SpeechName): Promise<string> => {
    const path = join(folder, recipes[name].name);
    await execute('ffmpeg', ['-nostdin', '-loglevel', 'error', ...recipes[name].commands, path]);
    return path;
  });
  const probedClip = memoize(async (name: ClipName) => ({
    clipPath: await createFile(name),
    clip: await probeClip(await createFile(name), { limits }),
  }));
  const probedSpeech = memoize(async (name: SpeechName) => ({
    speechPath: await createFile(name),
    speech: await probeSpeech(await createFile(name), { limits }),
  }));
  const createClient = (callLimits: Partial<CallTimeouts> = {}): HeygenClient =>
    new HeygenClient(new HeygenHttp({ endpointUrl: standin.url, apiKey: standin.apiKey }), {
      readMs: 10_000,
      writeMs: 10_000,
      transferMs: 10_000,
      ...callLimits,
    });
  /** Uploads files that fit each other and returns the request body of an operation. */
  const newLipsync = async (mode: HeygenMode): Promise<NewLipsync> => {
    const upload = async (path: string): Promise<string> => {
      const form = new FormData();
      form.append('file', await openAsBlob(path), 'file');
      return createClient().uploadAsset({ form, idempotencyKey: randomUUID() }, takeContext.signal);
    };
    const [videoAssetId, audioAssetId] = await Promise.all([
      upload(await createFile('spoken')),
      upload(await createFile('equal')),
    ]);
    return {
      videoAssetId,
      audioAssetId,
      mode,
      title: 'created',
      callbackId: 'created',
      callbackUrl: null,
      idempotencyKey: randomUUID(),
    };
  };
  let count = 0;
  return {
    client: createClient,
    newLipsync,
    /** Creates an operation without preparing inputs, and returns what `start` returns. */
    async createOperation(mode: HeygenMode = 'speed'): Promise<Operation> {
      return {
        id: await createClient().createLipsync(await newLipsync(mode), takeContext.signal),
        state: { mode, quotedMicros: 40_000, startedAtMs: 0 },
      };
    },
    get standin() {
      return standin;
    },
    provider: (options: Partial<HeygenProviderOptions> = {}): RemoteProvider =>
      new HeygenProvider({
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
    }: RequestOptions = {}): Promise<TakeRequest> {
      const inputs = { ...(await probedClip(clip)), ...(await probedSpeech(speech)) };
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

export const takeContext: TakeContext = { signal: new AbortController().signal, onProgress: () => undefined };

export function prepare(
  provider: RemoteProvider,
  request: TakeRequest,
  signal: AbortSignal = takeContext.signal,
): Promise<OperationRequest> {
  return provider.prepareRequest(request, {
    ...takeContext,
    signal,
    replaced: null,
    idempotencyKey: `${request.jobId}-0`,
  });
}

export async function prepareAndStart(
  provider: RemoteProvider,
  request: TakeRequest,
  signal: AbortSignal = takeContext.signal,
): Promise<Operation> {
  return provider.start(await prepare(provider, request, signal), { ...takeContext, signal });
}

/** Checks the operation until it has ended. */
export async function waitForEnd(
  provider: RemoteProvider,
  operation: Operation,
): Promise<Exclude<OperationStatus, { status: 'pending' }>> {
  for (let checks = 0; checks < 100; checks += 1) {
    const status = await provider.check(operation, takeContext);
    if (status.status !== 'pending') return status;
  }
  throw new Error('The operation does not end.');
}

/** Returns the error that `work` rejects with. */
export async function catchError(work: Promise<unknown>): Promise<LipsyncError> {
  const outcome = await work.catch((error: unknown) => error);
  if (LipsyncError.isInstance(outcome)) return outcome;
  throw new Error('No LipsyncError was thrown.', { cause: outcome });
}

/** Checks the operation until it is done. Throws when it failed. */
export async function waitForDone(
  provider: RemoteProvider,
  operation: Operation,
): Promise<Extract<OperationStatus, { status: 'done' }>> {
  const status = await waitForEnd(provider, operation);
  if (status.status === 'done') return status;
  throw new Error(`The operation failed: ${status.message}`);
}

/** Starts another server and records the headers of its requests. */
export async function serve(
  answer: (response: ServerResponse) => void,
): Promise<{ readonly url: string; readonly seenHeaders: readonly string[] }> {
  const seenHeaders: string[] = [];
  const server = createServer((request, response) => {
    seenHeaders.push(inspect(request.rawHeaders));
    answer(response);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  // `as`: a server that listens on a port has a socket address.
  return { seenHeaders, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}
