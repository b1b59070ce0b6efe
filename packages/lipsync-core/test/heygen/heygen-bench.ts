import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startHeygenStandin, type HeygenStandin, type HeygenStandinOptions } from '@lipsync/heygen-standin';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { HeygenMode, SyncMode } from '../../src/contract/index.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { planTimeline, probeClip, probeSpeech, type ClipFacts, type ClipWindow, type SpeechFacts } from '../../src/media/index.ts';
import { systemClock } from '../../src/ports/system-ports.ts';
import { createHeygenClient, type CallLimits, type CreateOrder, type HeygenClient } from '../../src/providers/heygen/heygen-client.ts';
import { createHeygenHttp } from '../../src/providers/heygen/heygen-http.ts';
import { createHeygenProvider, type HeygenProviderOptions } from '../../src/providers/heygen/heygen-provider.ts';
import type { Operation, OperationStatus, RemoteProvider, TakeContext, TakeRequest } from '../../src/providers/provider.ts';
import { createRenderPool, type RenderPool } from '../../src/render/render-pool.ts';
import { limits } from '../media/make-media.ts';

const execute = promisify(execFile);

interface TestFile<Facts> {
  readonly path: string;
  readonly facts: Facts;
}

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
const tone = (seconds: number): readonly string[] => ['-f', 'lavfi', '-i', `sine=frequency=300:duration=${seconds}:sample_rate=22050`];

/** A stand-in, small media, and a provider for the tests of one file. Faults and settings last for one test. */
export function useHeygen(standinOptions: HeygenStandinOptions = {}) {
  const clips = new Map<ClipName, TestFile<ClipFacts>>();
  const speeches = new Map<SpeechName, TestFile<SpeechFacts>>();
  let folder: string;
  let standin: HeygenStandin;
  let renderPool: RenderPool;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-'));
    standin = await startHeygenStandin({ settings: { pace: atOnce }, ...standinOptions });
    renderPool = createRenderPool({ keepWarm: 1, idleMs: 60_000, cancelGraceMs: 2_000, silenceLimitMs: 60_000 });
    const make = async (name: string, ...commands: readonly string[]): Promise<string> => {
      const path = join(folder, name);
      await execute('ffmpeg', ['-nostdin', '-loglevel', 'error', ...commands, path]);
      return path;
    };
    const clip = async (name: ClipName, path: string): Promise<unknown> => clips.set(name, { path, facts: await probeClip(path, { limits }) });
    const speech = async (name: SpeechName, path: string): Promise<unknown> => speeches.set(name, { path, facts: await probeSpeech(path, { limits }) });
    await Promise.all([
      clip('spoken', await make('spoken.mp4', ...picture, ...tone(1.2), ...h264, '-c:a', 'aac')),
      clip('silent', await make('silent.mp4', ...picture, ...h264)),
      clip('foreign', await make('foreign.mkv', ...picture, '-c:v', 'mpeg4')),
      clip('still', await make('still.png', '-f', 'lavfi', '-i', 'testsrc2=s=160x120', '-frames:v', '1')),
      speech('short', await make('short.wav', ...tone(0.8))),
      speech('equal', await make('equal.wav', ...tone(1.2))),
      speech('long', await make('long.wav', ...tone(2))),
      speech('stereoMp3', await make('stereo.mp3', ...tone(1.2), '-ac', '2')),
    ]);
  });
  afterEach(async () => standin.control.reset());
  afterAll(async () => {
    await Promise.all([standin.close(), renderPool.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  const clientOf = (callLimits: Partial<CallLimits> = {}): HeygenClient =>
    createHeygenClient(createHeygenHttp({ endpointUrl: standin.url, apiKey: standin.apiKey }), { readMs: 10_000, writeMs: 10_000, transferMs: 10_000, ...callLimits });
  /** Of files that fit as they are, uploaded already. */
  const orderOf = async (mode: HeygenMode): Promise<CreateOrder> => {
    const upload = async (path: string): Promise<string> => {
      const form = new FormData();
      form.append('file', await openAsBlob(path), 'file');
      return clientOf().uploadAsset({ form, idempotencyKey: randomUUID() }, calm.signal);
    };
    const [videoAssetId, audioAssetId] = await Promise.all([upload(join(folder, 'spoken.mp4')), upload(join(folder, 'equal.wav'))]);
    return { videoAssetId, audioAssetId, mode, title: 'placed', callbackId: 'placed', callbackUrl: null, idempotencyKey: randomUUID() };
  };
  let count = 0;
  return {
    client: clientOf,
    order: orderOf,
    /** An operation as `start` leaves it, ordered without making anything fit. */
    async placed(mode: HeygenMode = 'speed'): Promise<Operation> {
      return { id: await clientOf().createLipsync(await orderOf(mode), calm.signal), state: { mode, quotedMicros: 40_000, startedAtMs: 0 } };
    },
    get standin() {
      return standin;
    },
    provider: (options: Partial<HeygenProviderOptions> = {}): RemoteProvider => createHeygenProvider({
      apiKey: standin.apiKey, endpoint: standin.url, maxConcurrent: 5, timeoutMs: 60_000, pollIntervalMs: 100,
      speedMicrosPerSecond: 33_300, precisionMicrosPerSecond: 66_700, renderPool, clock: systemClock, ...options,
      limits: { retryPauseMs: 5, freshMs: 0, ...options.limits },
    }),
    async request({ clip = 'silent', speech = 'equal', syncMode = 'loop', window = {}, heygenMode = 'speed', jobId }: RequestWishes = {}): Promise<TakeRequest> {
      const [clipFile, speechFile] = [clips.get(clip), speeches.get(speech)];
      if (!clipFile || !speechFile) throw new Error('The media are not made yet.');
      const attemptFolder = await mkdtemp(join(folder, 'attempt-'));
      count += 1;
      return {
        jobId: jobId ?? `job_${count}`,
        clipPath: clipFile.path, clipDigest: 'unused', clip: clipFile.facts,
        speechPath: speechFile.path, speech: speechFile.facts,
        timeline: planTimeline(clipFile.facts, speechFile.facts.durationMs, { syncMode, window }),
        mouthCurvePath: 'unused', silenceMode: 'generate', heygenMode,
        takePath: join(attemptFolder, 'take.mp4'),
      };
    },
  };
}

export const calm: TakeContext = { signal: new AbortController().signal, onProgress: () => undefined };

export function startOf(provider: RemoteProvider, request: TakeRequest, signal: AbortSignal = calm.signal): Promise<Operation> {
  return provider.start(request, { ...calm, signal, idempotencyKey: `${request.jobId}-0` });
}

/** Asks until the operation has ended. */
export async function endOf(provider: RemoteProvider, operation: Operation): Promise<Exclude<OperationStatus, { status: 'pending' }>> {
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
export async function doneOf(provider: RemoteProvider, operation: Operation): Promise<Extract<OperationStatus, { status: 'done' }>> {
  const status = await endOf(provider, operation);
  if (status.status === 'done') return status;
  throw new Error(`The operation failed: ${status.message}`);
}
