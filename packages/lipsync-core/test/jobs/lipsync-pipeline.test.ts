import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { lipsyncOptionsSchema, type LipsyncOptionsInput, type ProviderId } from '../../src/contract/index.ts';
import { LipsyncError, type ErrorCode } from '../../src/errors/index.ts';
import { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import type { KeptTakes, PipelineInput, PipelineResult } from '../../src/jobs/pipeline-types.ts';
import { openJobWorkspace } from '../../src/processes/workspace.ts';
import { probeTake } from '../../src/media/index.ts';
import { unknownQuality } from '../../src/quality/assessment/merge-findings.ts';
import { createPreviewProvider } from '../../src/providers/preview/preview-provider.ts';
import type { Admission } from '../../src/providers/admission.ts';
import type { Expectation, Forecast } from '../../src/scheduling/completion-forecast.ts';
import { listProviderIds, type ExecutionPlan } from '../../src/scheduling/execution-plan.ts';
import { testPlan } from '../../src/testing/test-plan.ts';
import { ActiveProviders } from '../../src/providers/active-providers.ts';
import { RenderProcessPool, type RenderPool } from '../../src/processes/render-pool.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import { idleForecast } from '../../src/testing/idle-forecast.ts';
import { openAdmission, testAttempt } from '../../src/testing/index.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { ScriptedVendor } from '../../src/testing/scripted-vendor.ts';
import { limits } from '../media/make-media.ts';
import { makeShortSample } from '../service/short-sample.ts';
import type { Attempt } from '../../src/providers/attempt.ts';
import { createTestAdmission } from '../../src/testing/test-admission.ts';

let folder: string;
let clipPath: string;
let silencePath: string;
let pool: RenderPool;
/** Names of the render tasks that the pipeline started, in order. */
let asked: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-pipeline-'));
  ({ clipPath } = await makeShortSample(folder));
  silencePath = join(folder, 'silence.wav');
  await writeFile(silencePath, silentWav());
  pool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 30_000 });
});
afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

/** A second of digital silence: 16-bit mono at 16 kHz. */
function silentWav(): Buffer {
  const wav = Buffer.alloc(44 + 32_000);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8);
  for (const [value, offset] of [
    [16, 16],
    [16_000, 24],
    [32_000, 28],
    [32_000, 40],
  ] as const)
    wav.writeUInt32LE(value, offset);
  for (const [value, offset] of [
    [1, 20],
    [1, 22],
    [2, 32],
    [16, 34],
  ] as const)
    wav.writeUInt16LE(value, offset);
  wav.write('data', 36);
  return wav;
}

/** Keeps nothing: the scripted takes are no files. */
const keptTakes: KeptTakes = {
  keep: () => Promise.reject(new LipsyncError('resource_exhausted', 'full')),
  pathOf: () => '',
  share: async () => undefined,
  find: async () => undefined,
  remove: async () => undefined,
};

/** Returns a pipeline on the real render pool; the first `times` tasks of each kind fail with `code`. */
function pipelineThatFails(code: ErrorCode, times: number): LipsyncPipeline {
  asked = [];
  const renderPool: RenderPool = {
    run(task, input, context) {
      asked.push(task.exportName);
      const failed = asked.filter((name) => name === task.exportName).length <= times;
      return failed ? Promise.reject(new LipsyncError(code, 'scripted')) : pool.run(task, input, context);
    },
    warm: () => pool.warm(),
    close: () => pool.close(),
  };
  const activeProviders = new ActiveProviders([
    createPreviewProvider({ renderPool, trackCacheFolder: join(folder, 'tracks') }),
  ]);
  return new LipsyncPipeline({
    activeProviders,
    renderPool,
    limits,
    admission: openAdmission,
    forecast: idleForecast,
    clock: { nowMs: Date.now },
  });
}

async function run(pipeline: LipsyncPipeline): Promise<PipelineResult> {
  const workspace = await openJobWorkspace(folder, { id: 'job_1', runs: 1 });
  const outcome = await pipeline.run(
    {
      jobId: 'job_1',
      owner: null,
      options: lipsyncOptionsSchema.parse({}),
      workspace,
      fetchInputs: async () => ({ clipPath, speechPath: silencePath, clipDigest: 'a' }),
    },
    {
      signal: new AbortController().signal,
      earlierAttempts: [],
      wasInterrupted: false,
      plan: null,
      outputMs: null,
      savePlan: async () => undefined,
      canRun: () => true,
      onProgress: () => undefined,
      saveAttempts: async () => undefined,
      keptTakes,
    },
  );
  if (outcome.type !== 'made') throw new Error(`The job is not done but ${outcome.type}.`);
  return outcome;
}

describe('Media steps of the pipeline', () => {
  it('A render process is started before the speech is analyzed.', async () => {
    using warm = vi.spyOn(pool, 'warm');
    await run(pipelineThatFails('media_failed', 0));
    expect(warm).toHaveBeenCalledOnce();
  });

  it('A step is repeated after media_failed.', async () => {
    const { takePath, methodUsed } = await run(pipelineThatFails('media_failed', 1));
    expect(asked).toEqual(['analyzeSpeechTask', 'analyzeSpeechTask', 'passThroughTask', 'passThroughTask']);
    expect(methodUsed).toBeNull();
    expect((await probeTake(takePath)).frameCount).toBe(25);
  });

  it('A step runs at most twice.', async () => {
    await expect(run(pipelineThatFails('media_failed', 2))).rejects.toMatchObject({ code: 'media_failed' });
    expect(asked).toEqual(['analyzeSpeechTask', 'analyzeSpeechTask']);
  });

  it('A step is not repeated after any other error.', async () => {
    await expect(run(pipelineThatFails('speech_unusable', 1))).rejects.toMatchObject({ code: 'speech_unusable' });
    expect(asked).toEqual(['analyzeSpeechTask']);
  });
});

describe('The slot of a job at a remote provider', () => {
  const vendor = new ScriptedVendor();
  const neverFetched = (): Promise<never> => Promise.reject(new Error('The inputs were fetched.'));
  const clock = { nowMs: Date.now };
  const admissionOver = (state: StateStore): Admission => createTestAdmission({ state, clock });

  interface VendorRun {
    /** Whether other jobs hold all slots. */
    readonly taken?: boolean;
    readonly canRun?: boolean;
    /** Runs a planned job with optimize `speed` that expects these times. */
    readonly expected?: readonly Expectation[];
  }

  /**
   * Runs a job at the vendor. Returns its outcome, how often its inputs were fetched, whether it holds a slot, and the
   * number of waiting jobs.
   */
  async function runAtVendor(
    fetchInputs: PipelineInput['fetchInputs'],
    { taken = false, canRun = true, expected }: VendorRun = {},
  ) {
    const state = createMemoryState().open();
    const slots = createConcurrencySlots({ state, clock });
    for (let place = 0; taken && place < vendor.maxConcurrent; place += 1)
      await slots.acquire('heygen', `other_${place}`, { limit: vendor.maxConcurrent });
    const pipeline = new LipsyncPipeline({
      activeProviders: new ActiveProviders(expected ? [vendor, engine] : [vendor]),
      renderPool: pool,
      limits,
      admission: admissionOver(state),
      forecast: expected ? { ...idleForecast, expect: async () => expected } : idleForecast,
      clock,
    });
    const workspace = await openJobWorkspace(folder, { id: 'job_1', runs: 1 });
    let fetched = 0;
    const outcome = await pipeline
      .run(
        {
          jobId: 'job_1',
          owner: null,
          options: lipsyncOptionsSchema.parse(expected ? { optimize: 'speed' } : {}),
          workspace,
          fetchInputs: () => {
            fetched += 1;
            return fetchInputs();
          },
        },
        {
          signal: new AbortController().signal,
          earlierAttempts: [],
          wasInterrupted: false,
          plan: expected ? testPlan('heygen', 'wav2lip') : null,
          outputMs: expected ? 1_000 : null,
          savePlan: async () => undefined,
          canRun: (kind) => canRun && kind === 'remote',
          onProgress: () => undefined,
          keptTakes,
          saveAttempts: async () => undefined,
        },
      )
      .catch((error: unknown) => error);
    const holders = await slots.holders('heygen');
    const holdsPlace = holders.some(({ jobId }) => jobId === 'job_1');
    return { outcome, fetched, holdsPlace, waiting: await slots.countWaiting('heygen') };
  }

  it('A job waits for a slot before it fetches its inputs.', async () => {
    expect(await runAtVendor(neverFetched, { taken: true })).toMatchObject({
      outcome: { type: 'waiting' },
      fetched: 0,
      holdsPlace: false,
      waiting: 1,
    });
  });

  it('A job that moves to a faster local engine stops waiting for a slot.', async () => {
    const faster = [expectation('heygen', 10_000, 60_000), expectation('wav2lip', 30_000)];
    expect(await runAtVendor(neverFetched, { taken: true, expected: faster })).toEqual({
      outcome: { type: 'elsewhere', needs: 'inline' },
      fetched: 0,
      holdsPlace: false,
      waiting: 0,
    });
  });

  it('A host that does not run remote providers acquires no slot.', async () => {
    expect(await runAtVendor(neverFetched, { canRun: false })).toEqual({
      outcome: { type: 'elsewhere', needs: 'remote' },
      fetched: 0,
      holdsPlace: false,
      waiting: 0,
    });
  });

  it('The slot is released if the inputs are unusable or the speech is silent.', async () => {
    expect(await runAtVendor(() => Promise.reject(new LipsyncError('not_found', 'gone')))).toMatchObject({
      outcome: { code: 'not_found' },
      fetched: 1,
      holdsPlace: false,
    });
    const silent = await runAtVendor(async () => ({ clipPath, speechPath: silencePath, clipDigest: 'a' }));
    expect(silent).toMatchObject({ outcome: { type: 'made', methodUsed: null }, fetched: 1, holdsPlace: false });
    expect(vendor.started).toEqual([]);
  });
});

const idleVendor = new ScriptedVendor();
const engine = {
  kind: 'inline',
  facts: { id: 'wav2lip', degraded: false },
  run: () => Promise.reject(new Error('Nothing is run.')),
} as const;
const activeProviders = new ActiveProviders([idleVendor, engine]);
const expectation = (provider: ProviderId, workMs: number, waitMs: number | null = 0) => ({
  provider,
  waitMs,
  workMs,
  typicalMs: workMs,
  isMeasured: true,
});

/**
 * Plans a job of one second on a host that runs no provider. Returns its plan and the kind of provider that it needs.
 */
async function planOf(
  options: LipsyncOptionsInput,
  {
    plan = null,
    outputMs = null,
    expected = [],
    warm = () => undefined,
    isInLine = false,
  }: {
    plan?: ExecutionPlan | null;
    outputMs?: number | null;
    expected?: readonly Expectation[];
    warm?: () => void;
    isInLine?: boolean;
  } = {},
) {
  const saved: (readonly ProviderId[])[] = [];
  const pipeline = new LipsyncPipeline({
    activeProviders,
    renderPool: { ...pool, warm },
    limits,
    admission: isInLine ? { ...openAdmission, admit: async () => ({ type: 'waiting', untilMs: 1 }) } : openAdmission,
    clock: { nowMs: Date.now },
    forecast: {
      ...idleForecast,
      // A forecast for a waiting job needs its id.
      expect: async ({ waitingJobId }) => (waitingJobId === (isInLine ? 'job_1' : undefined) ? expected : []),
    },
  });
  let fetched = 0;
  const outcome = await pipeline.run(
    {
      jobId: 'job_1',
      owner: null,
      options: lipsyncOptionsSchema.parse(options),
      workspace: await openJobWorkspace(folder, { id: 'job_1', runs: 1 }),
      async fetchInputs() {
        fetched += 1;
        return { clipPath, speechPath: silencePath, clipDigest: 'a' };
      },
    },
    {
      plan,
      outputMs,
      signal: new AbortController().signal,
      earlierAttempts: [],
      wasInterrupted: false,
      canRun: (kind) => isInLine && kind === 'remote',
      onProgress: () => undefined,
      keptTakes,
      saveAttempts: async () => undefined,
      savePlan: async (made) => void saved.push(listProviderIds(made)),
    },
  );
  return { saved, fetched, needs: outcome.type === 'elsewhere' ? outcome.needs : outcome.type };
}

describe('The plan of a job', () => {
  it('A plan that does not depend on the inputs is stored before they are fetched.', async () => {
    expect(await planOf({})).toEqual({ saved: [['heygen', 'wav2lip']], fetched: 0, needs: 'remote' });
    expect(await planOf({ optimize: 'cost' })).toEqual({ saved: [['wav2lip', 'heygen']], fetched: 0, needs: 'inline' });
  });

  it('A plan that depends on the length of the output is made after probing.', async () => {
    expect(await planOf({ optimize: 'balanced' })).toEqual({
      saved: [['heygen', 'wav2lip']],
      fetched: 1,
      needs: 'remote',
    });
  });

  it('Planning starts no render process if another host continues the job.', async () => {
    const warm = vi.fn<RenderPool['warm']>();
    expect(await planOf({ optimize: 'balanced' }, { warm })).toMatchObject({ fetched: 1 });
    expect(warm).not.toHaveBeenCalled();
  });

  it('With optimize speed, the local engine comes first if it is expected to finish before the vendor.', async () => {
    const inLine = [expectation('heygen', 10_000, 60_000), expectation('wav2lip', 30_000)];
    expect(await planOf({ optimize: 'speed' }, { expected: inLine })).toEqual({
      saved: [['wav2lip', 'heygen']],
      fetched: 1,
      needs: 'inline',
    });
    const noLine = [expectation('heygen', 10_000), expectation('wav2lip', 30_000)];
    expect(await planOf({ optimize: 'speed' }, { expected: noLine })).toMatchObject({ needs: 'remote' });
  });

  it('A stored plan is followed and not made again.', async () => {
    expect(await planOf({}, { plan: testPlan('wav2lip') })).toEqual({ saved: [], fetched: 0, needs: 'inline' });
  });
});

describe('A job with optimize speed that waits for a slot', () => {
  const plan = testPlan('heygen', 'wav2lip');
  const grown = [expectation('heygen', 10_000, 60_000), expectation('wav2lip', 30_000)];
  const shrunk = [expectation('heygen', 10_000, 5_000), expectation('wav2lip', 30_000)];

  it('It moves to the local engine, without probing again, if that is now expected to finish first.', async () => {
    expect(await planOf({ optimize: 'speed' }, { plan, outputMs: 1_000, isInLine: true, expected: grown })).toEqual({
      saved: [['wav2lip', 'heygen']],
      fetched: 0,
      needs: 'inline',
    });
  });

  it('It keeps waiting if the local engine is not expected to finish first.', async () => {
    expect(await planOf({ optimize: 'speed' }, { plan, outputMs: 1_000, isInLine: true, expected: shrunk })).toEqual({
      saved: [],
      fetched: 0,
      needs: 'waiting',
    });
  });

  it('It acquires a free slot even if many jobs wait.', async () => {
    expect(await planOf({ optimize: 'speed' }, { plan, outputMs: 1_000, expected: grown })).toEqual({
      saved: [],
      fetched: 0,
      needs: 'remote',
    });
  });

  it.each(['quality', 'balanced'] as const)('With optimize %s, a waiting job keeps its plan.', async (optimize) => {
    expect(await planOf({ optimize }, { plan, outputMs: 1_000, isInLine: true, expected: grown })).toMatchObject({
      saved: [],
      needs: 'waiting',
    });
  });
});

describe('Takes of a vendor', () => {
  const startedAtMs = Date.now() - 5_000;
  const operation = { id: 'op', state: {} };
  const begun = testAttempt({
    startedAtMs,
    operation,
    operationAtMs: startedAtMs,
  });
  const made: Attempt = { ...begun, outcome: 'succeeded', endedAtMs: startedAtMs + 1_000, costMicros: 70 };

  interface CollectOptions {
    readonly vendor?: ScriptedVendor;
    readonly wasInterrupted?: boolean;
    readonly stop?: AbortController;
    /** Aborts the run with this reason during the check. */
    readonly stopReason?: unknown;
  }

  /** Collects the vendor's take in a run that finds `attempt`. Returns the providers whose throughput was recorded. */
  async function learnedFrom(attempt: Attempt, options: CollectOptions = {}) {
    return (await collect(attempt, options)).learned;
  }

  async function collect(
    attempt: Attempt,
    {
      vendor = new ScriptedVendor(),
      wasInterrupted = false,
      stop = new AbortController(),
      stopReason,
    }: CollectOptions = {},
  ) {
    const learn = vi.fn<Forecast['record']>(async () => undefined);
    const stages: string[] = [];
    const pipeline = new LipsyncPipeline({
      activeProviders: new ActiveProviders([vendor]),
      renderPool: pool,
      limits,
      quality: {
        trackCacheFolder: join(folder, 'tracks'),
        minSyncScore: null,
        assessor: {
          async run({ videoPath }) {
            if (stopReason !== undefined) stop.abort(stopReason);
            const warnings = [{ code: 'quality_not_measured', message: videoPath }];
            return { ...unknownQuality([], 'Not measured.', true), warnings };
          },
        },
      },
      admission: openAdmission,
      clock: { nowMs: Date.now },
      forecast: { ...idleForecast, record: learn },
    });
    const outcome = await pipeline.run(
      {
        jobId: 'job_1',
        owner: null,
        options: lipsyncOptionsSchema.parse({}),
        workspace: await openJobWorkspace(folder, { id: 'job_1', runs: 1 }),
        fetchInputs: async () => ({ clipPath, speechPath: silencePath, clipDigest: 'a' }),
      },
      {
        wasInterrupted,
        signal: stop.signal,
        earlierAttempts: [attempt],
        plan: testPlan('heygen'),
        outputMs: null,
        canRun: () => true,
        onProgress: ({ stage }) => void stages.push(stage),
        keptTakes,
        saveAttempts: async () => undefined,
        savePlan: async () => undefined,
      },
    );
    if (outcome.type !== 'made') throw new Error(`The job is not done but ${outcome.type}.`);
    const learned = learn.mock.calls.map(([{ provider }]) => provider);
    return { learned, stages, warnings: outcome.warnings };
  }

  it('The take of a remote provider is assessed, and the result has the warnings of the assessment.', async () => {
    const { warnings } = await collect(begun);
    expect(warnings).toContainEqual({ code: 'quality_not_measured', message: 'take.mp4' });
  });

  it('A cancel during the assessment ends the job.', async () => {
    const stopReason = new LipsyncError('canceled', 'The job was canceled.');
    await expect(collect(begun, { stopReason })).rejects.toBe(stopReason);
  });

  it.each([
    ['deadline', new LipsyncError('deadline_exceeded', 'Too late.')],
    ['shutdown', new DOMException('The worker stops.', 'AbortError')],
  ])('A %s during the assessment does not lose the finished take.', async (_, stopReason) => {
    expect((await collect(begun, { stopReason })).warnings).toContainEqual({
      code: 'quality_not_measured',
      message: 'take.mp4',
    });
  });

  it('A job that collects the take of its operation does not report that it prepares its inputs.', async () => {
    expect((await collect(begun)).stages).toEqual([]);
  });

  it('The duration of an uninterrupted take is recorded.', async () => {
    expect(await learnedFrom(begun)).toEqual(['heygen']);
  });

  it('The duration of a take after a crash is not recorded.', async () => {
    expect(await learnedFrom(begun, { wasInterrupted: true })).toEqual([]);
  });

  it('The duration of an attempt that reuses segments is not recorded, because others made a part of its take.', async () => {
    const vendor = new ScriptedVendor();
    vi.spyOn(vendor, 'collect').mockResolvedValue({ path: 'take.mp4', warnings: [], reusesSegments: true });
    expect(await learnedFrom(begun, { vendor })).toEqual([]);
  });

  it('A take that is collected a second time is not recorded again.', async () => {
    expect(await learnedFrom(made)).toEqual([]);
  });
});
