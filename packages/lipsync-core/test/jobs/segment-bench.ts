import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeMouthCurve } from '../../src/audio/mouth-curve-file.ts';
import { silentLogger } from '../../src/contract/system-ports.ts';
import { SegmentBoard } from '../../src/jobs/segments/segment-board.ts';
import { SegmentHelper } from '../../src/jobs/segments/segment-helper.ts';
import { SegmentedTakes } from '../../src/jobs/segments/segmented-takes.ts';
import { passThroughTask } from '../../src/media/takes/take-loop.ts';
import { planTimeline, probeClip, probeSpeech } from '../../src/media/index.ts';
import type { RenderPool } from '../../src/processes/render-pool.ts';
import { loadRenderTask, RenderResources, type RenderTaskContext } from '../../src/processes/render-task.ts';
import { ActiveProviders } from '../../src/providers/active-providers.ts';
import { toLocalTakeInput } from '../../src/providers/local/take-input.ts';
import type { InlineProvider, TakeRequest } from '../../src/providers/provider.ts';
import { LocalArtifactStore } from '../../src/storage/local-artifact-store.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { limits, makeMedia } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const seconds = 3;
export const frameCount = seconds * 25;
/** Frames without voice: the take is cut at each of them. */
const pauses = [19, 38, 56];

/** Far longer than a test needs on a machine that does nothing else. */
export const limitMs = 110_000;

const resources = new RenderResources();

/** Runs render tasks in this process. */
const renderPool: RenderPool = {
  async run(task, input, { signal, onProgress = () => undefined }) {
    const body = await loadRenderTask(task);
    const context: RenderTaskContext = { signal, resources, onProgress };
    // `as`: as in `RenderProcessPool`.
    return (await body(input as never, context)) as never;
  },
  warm: () => undefined,
  close: () => Promise.resolve(),
};

/** Workers that share a folder and a state store, and the sample as inputs of their job. */
export class SegmentBench {
  readonly folder: string;
  readonly artifacts: LocalArtifactStore;
  readonly board: SegmentBoard;
  readonly request: Omit<TakeRequest, 'takePath'>;
  /** Added to the time of all workers. */
  skippedMs = 0;
  #jobs = 0;
  #runs = 0;

  private constructor(folder: string, request: Omit<TakeRequest, 'jobId' | 'takePath'>) {
    this.folder = folder;
    this.request = { ...request, jobId: '' };
    const [inputsDir, outputsDir] = [join(folder, 'inputs'), join(folder, 'outputs')];
    this.artifacts = new LocalArtifactStore({ inputsDir, outputsDir });
    const clock = { nowMs: () => Date.now() + this.skippedMs };
    this.board = new SegmentBoard({ state: createMemoryState().open(), artifacts: this.artifacts, clock });
  }

  static async open(): Promise<SegmentBench> {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-segments-'));
    const shorten = ['-t', String(seconds), '-i'];
    const clipPath = await makeMedia(
      ...shorten,
      join(samples, 'presenter.mp4'),
      '-vf',
      'scale=256:-2',
      '-an',
      '-preset',
      'ultrafast',
      join(folder, 'clip.mp4'),
    );
    const speechPath = await makeMedia(...shorten, join(samples, 'speech.wav'), join(folder, 'speech.wav'));
    const clip = await probeClip(clipPath, { limits });
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
    const mouthCurvePath = join(folder, 'curve');
    await writeMouthCurve(mouthCurvePath, {
      open: new Float32Array(frameCount),
      wide: new Float32Array(frameCount),
      closure: new Float32Array(frameCount),
      voiced: Float32Array.from({ length: frameCount }, (_, frame) => (pauses.includes(frame) ? 0 : 1)),
    });
    const common = { clipPath, clip, speechPath, speech, timeline, mouthCurvePath, providerOptions: {} };
    const bench = new SegmentBench(folder, { ...common, clipDigest: '', silenceMode: 'generate' });
    const stored = await bench.artifacts.putInput(createReadStream(clipPath), { maxBytes: 2 ** 30 });
    Object.assign(bench.request, { clipDigest: stored.sha256 });
    return bench;
  }

  /** Begins another job with the same inputs. */
  startJob(): void {
    this.#jobs += 1;
    Object.assign(this.request, { jobId: `job_${this.#jobs}` });
  }

  /** The request of the next run of the job, with a work folder of its own. */
  async nextRequest(): Promise<TakeRequest> {
    this.#runs += 1;
    const folder = join(this.folder, `run-${this.#runs}`);
    await mkdir(folder);
    return { ...this.request, takePath: join(folder, 'take.mp4') };
  }

  /** The worker of the job, while `others` more workers are alive. */
  takes({ offer = () => undefined, others = 1 }: { readonly offer?: () => void; readonly others?: number } = {}) {
    return new SegmentedTakes({
      board: this.board,
      artifacts: this.artifacts,
      renderPool,
      trackCacheFolder: join(this.folder, 'tracks'),
      segmentMs: 1_000,
      engineVersion: () => 'engine',
      countWorkers: () => Promise.resolve(others + 1),
      offer: async () => offer(),
    });
  }

  /** Another worker. */
  helper(provider: InlineProvider, engineVersion = 'engine'): SegmentHelper {
    return new SegmentHelper({
      board: this.board,
      artifacts: this.artifacts,
      activeProviders: new ActiveProviders([provider]),
      workFolder: join(this.folder, 'work'),
      logger: silentLogger,
      engineVersion: () => engineVersion,
    });
  }

  async help(provider: InlineProvider, signal = AbortSignal.timeout(limitMs)): Promise<string> {
    return this.helper(provider).help(this.request.jobId, { signal, isNeededElsewhere: () => Promise.resolve(false) });
  }

  /** Files in the output folder of the store. */
  async outputs(): Promise<readonly string[]> {
    return readdir(join(this.folder, 'outputs'), { recursive: true }).catch(() => []);
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Passes the frames of the clip through, and records which segments it was called for. */
export class PassThroughProvider implements InlineProvider {
  readonly kind = 'inline';
  readonly facts = { id: 'wav2lip', degraded: false };
  readonly rendersSegments = true;
  /** Start and end of each rendered segment. */
  readonly rendered: string[] = [];
  /** Called before each segment is rendered. */
  before: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  async run(request: TakeRequest, context: Parameters<InlineProvider['run']>[1]) {
    await this.before(context.signal);
    const report = await passThroughTask(toLocalTakeInput(request, ''), context);
    const { start, end } = request.segment ?? { start: 0, end: request.timeline.frameCount };
    this.rendered.push(`${start}-${end}`);
    return { path: request.takePath, warnings: report.warnings, costMicros: 0, modelPrecision: 'int8' };
  }
}
