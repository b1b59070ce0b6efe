import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '../../src/contract/index.ts';
import { LipsyncError, toLipsyncError } from '../../src/errors/index.ts';
import { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import type { ProgressUpdate } from '../../src/jobs/progress-writer.ts';
import { probeTake } from '../../src/media/index.ts';
import { createIdSource, systemClock } from '../../src/contract/system-ports.ts';
import { openAdmission } from '../../src/testing/open-admission.ts';
import { createPreviewProvider } from '../../src/providers/preview/preview-provider.ts';
import { ActiveProviders } from '../../src/providers/active-providers.ts';
import type { MachineDevice } from '../../src/providers/wav2lip/engine/engine-address.ts';
import { EnginePool } from '../../src/providers/wav2lip/engine/engine-pool.ts';
import { createWav2LipProvider, wav2lipRenderTask } from '../../src/providers/wav2lip/wav2lip-provider.ts';
import { RenderProcessPool, type RenderPool } from '../../src/processes/render-pool.ts';
import { LocalJobs, type LocalJobOutcome } from '../../src/service/local-jobs.ts';
import { OutputFiles } from '../../src/service/output-file.ts';
import { idleForecast } from '../../src/testing/idle-forecast.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { voiceModelPath } from '../../src/audio/index.ts';
import { writeFaultModel, writeIdentityModel, type FaultModelOptions } from '../../src/testing/wav2lip-models.ts';
import { descendantsOf } from '../../src/testing/process-table.ts';
import { limits, makeMedia, x264 } from '../media/make-media.ts';
import { cpu, pretendGpu } from './engine-fixture.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const cropSizePx = 32;
const longestMs = 120_000;
/** Mean mel value that only the noise at the end of the speech exceeds. A model is tested with 0 when it is loaded. */
const loudMean = 0.5;
const longSeconds = 6;
const frameCount = longSeconds * 25;

let folder: string;
let clipPath: string;
/** Long enough to interrupt. */
let longSpeechPath: string;
let shortSpeechPath: string;
let renderPool: RenderPool;
let enginePool: EnginePool;
let files = 0;

/** One render process and one track cache for all jobs. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-faults-'));
  clipPath = await makeMedia(
    '-t',
    '2',
    '-i',
    join(samples, 'presenter.mp4'),
    '-vf',
    'scale=360:-2',
    ...x264,
    '-an',
    join(folder, 'clip.mp4'),
  );
  longSpeechPath = await makeMedia(
    '-t',
    String(longSeconds),
    '-i',
    join(samples, 'speech.wav'),
    join(folder, 'long.wav'),
  );
  const noise = 'anoisesrc=duration=0.5:amplitude=0.9:seed=1:sample_rate=44100';
  shortSpeechPath = await makeMedia(
    '-t',
    '1',
    '-i',
    longSpeechPath,
    '-f',
    'lavfi',
    '-i',
    noise,
    '-filter_complex',
    '[0][1]concat=v=0:a=1',
    join(folder, 'short.wav'),
  );
  renderPool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 60_000 });
  enginePool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
});
afterAll(async () => {
  await Promise.all([renderPool.close(), enginePool.close()]);
  await rm(folder, { recursive: true, force: true });
});

/** Jobs of an installation with the model at this path. */
function jobsWith(
  modelPath: string,
  pool: Pick<EnginePool, 'lease'> = enginePool,
  onDevice: (device: string) => void = () => undefined,
  takePool = renderPool,
): LocalJobs {
  const trackCacheFolder = join(folder, 'tracks');
  const activeProviders = new ActiveProviders([
    createWav2LipProvider({
      renderPool: takePool,
      enginePool: pool,
      modelPath,
      modelCacheFolder: join(folder, 'models'),
      trackCacheFolder,
      windowStartMs: -40,
      onDevice,
    }),
    createPreviewProvider({ renderPool, trackCacheFolder }),
  ]);
  return new LocalJobs({
    state: createMemoryState().open(),
    pipeline: new LipsyncPipeline({
      activeProviders,
      renderPool,
      limits,
      admission: openAdmission,
      forecast: idleForecast,
      clock: systemClock,
    }),
    operationMs: 60_000,
    outputFiles: new OutputFiles(),
    workFolder: join(folder, 'work'),
    downloads: { maxBytes: 1_000_000, allowedPrivateHosts: [], minBytesPerSecond: 0 },
    clock: systemClock,
    ids: createIdSource(systemClock),
  });
}

async function faultyModel(model: Omit<FaultModelOptions, 'cropSizePx'>): Promise<string> {
  const path = join(folder, `model-${(files += 1)}.onnx`);
  await writeFaultModel(path, { cropSizePx, ...model });
  return path;
}

async function soundModel(): Promise<string> {
  const path = join(folder, 'identity.onnx');
  await writeIdentityModel(path, { cropSizePx });
  return path;
}

interface RunContext {
  readonly signal?: AbortSignal;
  onProgress?(update: ProgressUpdate): void;
}

async function run(
  jobs: LocalJobs,
  audioPath: string,
  options: LipsyncOptionsInput,
  context: RunContext = {},
): Promise<LocalJobOutcome & { readonly outputPath: string }> {
  const outputPath = join(folder, `take-${(files += 1)}.mp4`);
  const parsed = lipsyncOptionsSchema.parse({ silenceMode: 'generate', ...options });
  return {
    outputPath,
    ...(await jobs.run({ videoPath: clipPath, audioPath, outputPath, overwrite: false, options: parsed }, context)),
  };
}

/** The outcome of each attempt with provider and message. */
function attemptsOf({ record }: LocalJobOutcome): string[] {
  return record.attempts.map(
    ({ provider, outcome, message }) => `${provider} ${outcome}${message === null ? '' : `: ${message}`}`,
  );
}

function engines(): number[] {
  return descendantsOf(process.pid)
    .filter(({ command }) => command.includes('engine-process'))
    .map(({ pid }) => pid);
}

/** Runs `act` once, when the first frames have been rendered. */
function whenRendering(act: () => void): (update: ProgressUpdate) => void {
  let begun: number | undefined;
  let done = false;
  return ({ stage, progress }) => {
    if (stage !== 'rendering') return;
    begun ??= progress;
    if (done || progress <= begun) return;
    done = true;
    act();
  };
}

describe('Engine faults', { timeout: longestMs }, () => {
  it('A killed engine costs one attempt, and the job completes with a new engine.', async () => {
    const devices: string[] = [];
    const jobs = jobsWith(await soundModel(), enginePool, (device) => devices.push(device));
    let killed: readonly number[] = [];
    const outcome = await run(
      jobs,
      longSpeechPath,
      { method: 'wav2lip' },
      {
        onProgress: whenRendering(() => {
          killed = engines();
          for (const pid of killed) process.kill(pid, 'SIGKILL');
        }),
      },
    );
    expect(killed).toHaveLength(1);
    expect(devices).toEqual(['cpu', 'cpu']);
    expect(outcome.record).toMatchObject({ status: 'completed', result: { methodUsed: 'wav2lip', degraded: false } });
    expect(attemptsOf(outcome)).toEqual([
      expect.stringMatching(/^wav2lip failed: The inference engine was lost: .* Try again\.$/),
      'wav2lip succeeded',
    ]);
    expect(outcome.record.attempts.map(({ code }) => code)).toEqual(['media_failed', null]);
    expect((await probeTake(outcome.outputPath)).frameCount).toBe(frameCount);
  });

  it('A job that is canceled during rendering ends soon without files, and the engine survives.', async () => {
    const jobs = jobsWith(await soundModel());
    const controller = new AbortController();
    let canceledMs = NaN;
    const outcome = await run(
      jobs,
      longSpeechPath,
      { method: 'wav2lip' },
      {
        signal: controller.signal,
        onProgress: whenRendering(() => {
          canceledMs = performance.now();
          controller.abort(new LipsyncError('canceled', 'Enough.'));
        }),
      },
    );
    expect(performance.now() - canceledMs).toBeLessThan(5_000);
    expect(outcome.record).toMatchObject({ status: 'canceled', attempts: [{ outcome: 'canceled' }] });
    expect(await readdir(folder)).not.toContain(outcome.outputPath);
    const [warm] = engines();
    expect(warm).toBeDefined();
    const next = await run(jobs, longSpeechPath, { method: 'wav2lip' });
    expect(attemptsOf(next)).toEqual(['wav2lip succeeded']);
    expect(engines()).toEqual([warm]);
  });

  it('An engine that is short of memory reduces its batches, and the job has a warning.', async () => {
    const updates: ProgressUpdate[] = [];
    const outcome = await run(
      jobsWith(await faultyModel({ largestBatch: 3 })),
      shortSpeechPath,
      { method: 'wav2lip' },
      { onProgress: (update) => updates.push(update) },
    );
    expect(outcome.record.status).toBe('completed');
    expect(attemptsOf(outcome)).toEqual(['wav2lip succeeded']);
    expect(outcome.record.warnings).toContainEqual({
      code: 'engine_batch_reduced',
      message: expect.stringContaining('the engine reduced them to 2 faces.'),
    });
    // Every take reports that it waits for its model before it tracks the face.
    expect([...new Set(updates.map(({ stage }) => stage))].filter((stage) => stage !== 'tracking')).toEqual([
      'fetching',
      'probing',
      'listening',
      'loading',
      'rendering',
      'publishing',
    ]);
    expect(updates.map(({ progress }) => progress)).toEqual(
      updates.map(({ progress }) => progress).toSorted((left, right) => left - right),
    );
  });
});

describe('GPU faults', { timeout: longestMs }, () => {
  interface BlamedDevice {
    readonly deviceName: string;
    readonly error: LipsyncError;
  }

  interface GpuMachine {
    readonly pool: Pick<EnginePool, 'lease'>;
    readonly blamed: readonly BlamedDevice[];
    /** Kinds of devices in the order in which takes started on them. */
    readonly used: string[];
  }

  /** A pool whose GPUs run on the CPU. The first one loads the model at `firstModelPath` if specified. */
  function gpuMachine(gpus: readonly MachineDevice[], firstModelPath?: string): GpuMachine {
    const blamed: BlamedDevice[] = [];
    const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: true, devices: async () => [gpus, [cpu]] });
    onTestFinished(() => pool.close());
    const lease: EnginePool['lease'] = async (model, context) => {
      const isFirst = firstModelPath !== undefined && (context.except ?? []).length === 0;
      const leased = await pool.lease(isFirst ? { ...model, path: firstModelPath } : model, context);
      return {
        ...leased,
        blame(error) {
          blamed.push({ deviceName: leased.deviceName, error });
          leased.blame(error);
        },
      };
    };
    return { pool: { lease }, blamed, used: [] };
  }

  /** Kills the engines of `times` takes in a row, each during rendering. */
  function killEngines(times: number): (update: ProgressUpdate) => void {
    // Engines of other tests and those already killed.
    const leftAlone = new Set(engines());
    let killed = 0;
    return ({ stage, progress }) => {
      if (stage !== 'rendering' || progress < 50 || killed === times) return;
      // The newest one: an engine that an earlier test requested may still have been starting.
      const pid = engines()
        .filter((engine) => !leftAlone.has(engine))
        .toSorted((one, other) => one - other)
        .at(-1);
      if (pid === undefined) return;
      process.kill(pid, 'SIGKILL');
      leftAlone.add(pid);
      killed += 1;
    };
  }

  const jobsOn = async ({ pool, used }: GpuMachine): Promise<LocalJobs> =>
    jobsWith(await soundModel(), pool, (device) => used.push(device));

  it('A GPU whose drawing is not finite is replaced by the next GPU within the same attempt.', async () => {
    const machine = gpuMachine(
      [pretendGpu('cuda:0'), pretendGpu('cuda:1')],
      await faultyModel({ nanAboveMean: loudMean }),
    );
    const outcome = await run(await jobsOn(machine), shortSpeechPath, { method: 'wav2lip' });
    expect(attemptsOf(outcome)).toEqual(['wav2lip succeeded']);
    expect(machine.used).toEqual(['cuda', 'cuda']);
    expect(machine.blamed).toEqual([
      { deviceName: 'cuda:0', error: expect.objectContaining({ code: 'model_invalid' }) },
    ]);
    expect(outcome.record.warnings).toContainEqual({
      code: 'engine_device_failed',
      message: expect.stringMatching(/^cuda:0 failed \(model_invalid: .*\); the job continued on the next device\.$/),
    });
  });

  it('Every GPU is tried once per attempt before the CPU.', async () => {
    const machine = gpuMachine([pretendGpu('cuda:0'), pretendGpu('cuda:1')]);
    const jobs = jobsWith(await faultyModel({ nanAboveMean: loudMean }), machine.pool, (device) =>
      machine.used.push(device),
    );
    const outcome = await run(jobs, shortSpeechPath, { method: 'wav2lip' });
    expect(outcome.record.attempts).toMatchObject([{ provider: 'wav2lip', outcome: 'failed', code: 'model_invalid' }]);
    expect(machine.used).toEqual(['cuda', 'cuda', 'cpu']);
    expect(machine.blamed.map(({ deviceName }) => deviceName)).toEqual(['cuda:0', 'cuda:1']);
  });

  it('A GPU whose engine is lost gets a new engine within the same attempt and is not blamed.', async () => {
    const machine = gpuMachine([pretendGpu('webgpu', 'webgpu')]);
    const outcome = await run(
      await jobsOn(machine),
      longSpeechPath,
      { method: 'wav2lip' },
      { onProgress: killEngines(1) },
    );
    expect(attemptsOf(outcome)).toEqual(['wav2lip succeeded']);
    expect(machine.used).toEqual(['webgpu', 'webgpu']);
    expect(machine.blamed).toEqual([]);
    expect(outcome.record.warnings).toContainEqual({
      code: 'engine_lost',
      message: expect.stringMatching(
        /^The engine on webgpu failed \(media_failed: The inference engine .*\) and was restarted\.$/,
      ),
    });
    expect(outcome.record.warnings.map(({ code }) => code)).not.toContain('engine_device_failed');
  });

  it('A GPU that loses its engine twice in a row is replaced by the next device within the same attempt and then skipped.', async () => {
    const machine = gpuMachine([pretendGpu('webgpu', 'webgpu')]);
    const outcome = await run(
      await jobsOn(machine),
      longSpeechPath,
      { method: 'wav2lip' },
      { onProgress: killEngines(2) },
    );
    expect(attemptsOf(outcome)).toEqual(['wav2lip succeeded']);
    expect(machine.used).toEqual(['webgpu', 'webgpu', 'cpu']);
    expect(machine.blamed).toEqual([
      { deviceName: 'webgpu', error: expect.objectContaining({ code: 'media_failed', details: { engine: true } }) },
    ]);
    expect(outcome.record.warnings).toContainEqual({
      code: 'engine_device_failed',
      message: expect.stringMatching(
        /^webgpu failed \(media_failed: The inference engine .*\); the job continued on the next device\.$/,
      ),
    });
  });

  it('A full disk is not blamed on the GPU, and no other device is tried.', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const machine = gpuMachine([pretendGpu('cuda:0')]);
    const fullDisk: RenderPool = {
      ...renderPool,
      run: (task, input, context) =>
        task.exportName === wav2lipRenderTask.exportName
          ? Promise.reject(toLipsyncError(full))
          : renderPool.run(task, input, context),
    };
    const jobs = jobsWith(await soundModel(), machine.pool, (device) => machine.used.push(device), fullDisk);
    const outcome = await run(jobs, shortSpeechPath, { method: 'wav2lip' });
    expect(outcome.record.attempts).toMatchObject([
      {
        provider: 'wav2lip',
        outcome: 'failed',
        code: 'resource_exhausted',
        message: expect.stringContaining('The disk'),
      },
    ]);
    expect(machine.used).toEqual(['cuda']);
    expect(machine.blamed).toEqual([]);
  });
});

describe('Model faults', { timeout: longestMs }, () => {
  it.each([
    [
      'draws values that are not finite',
      { nanAboveMean: loudMean },
      'model_invalid',
      /returns values that are not finite\. Fetch or import it again/,
    ],
    [
      'fails at every batch size',
      { failAboveMean: loudMean },
      'resource_exhausted',
      /A run of the model failed, and smaller batches down to a single face failed too/,
    ],
  ])(
    'A model that %s fails its only attempt, and preview completes the job if allowed.',
    async (_, faults, code, message) => {
      const jobs = jobsWith(await faultyModel(faults));
      const outcome = await run(jobs, shortSpeechPath, { allowPreview: true });
      expect(outcome.record).toMatchObject({ status: 'completed', result: { methodUsed: 'preview', degraded: true } });
      const [first, second] = outcome.record.attempts;
      expect(first).toMatchObject({
        provider: 'wav2lip',
        outcome: 'failed',
        code,
        message: expect.stringMatching(message),
      });
      expect(second).toMatchObject({ provider: 'preview', outcome: 'succeeded' });
      expect(outcome.record.warnings.map((warning) => warning.code)).toContain('degraded');
    },
  );

  it.each([
    [
      'is missing',
      async () => join(folder, 'nowhere.onnx'),
      'model_missing',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. The file is missing\.$/,
    ],
    [
      'is a folder',
      async () => folder,
      'model_missing',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. The file is a folder\.$/,
    ],
    [
      'is empty',
      async () => written('empty.onnx', ''),
      'model_invalid',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. .*not a supported ONNX model/,
    ],
    [
      'is a text file',
      async () => written('text.onnx', 'This is not a model.'),
      'model_invalid',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. .*not a supported ONNX model/,
    ],
    [
      'is a text file named like a checkpoint',
      async () => written('text.pth', 'This is not a checkpoint.'),
      'model_invalid',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. The checkpoint cannot be read: expected .*, found text/,
    ],
    [
      'is another network',
      async () => voiceModelPath(),
      'model_invalid',
      /^The model at WAV2LIP_MODEL_PATH cannot be used\. .*not a supported Wav2Lip generator\. Expected .* found inputs/,
    ],
  ])(
    'A model file that %s fails its only attempt with a message that names the setting.',
    async (_, write, code, message) => {
      const outcome = await run(jobsWith(await write()), shortSpeechPath, { method: 'wav2lip' });
      expect(outcome.error).toMatchObject({ code, message: expect.stringMatching(message) });
      expect(outcome.record.attempts).toMatchObject([{ provider: 'wav2lip', outcome: 'failed', code }]);
    },
  );
});

async function written(name: string, content: string): Promise<string> {
  await writeFile(join(folder, name), content);
  return join(folder, name);
}
