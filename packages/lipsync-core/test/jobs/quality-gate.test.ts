import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { LipsyncError, StorageError } from '../../src/errors/index.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import { toJobView } from '../../src/jobs/job-view.ts';
import { makeShortSample } from '../service/short-sample.ts';
import { fatalLabel, openGateBench, type GateBench } from './gate-bench.ts';

// All jobs have the same inputs, which are probed once.
vi.mock(import('../../src/media/index.ts'), async (importOriginal) => {
  const media = await importOriginal();
  const once = <Given extends unknown[], Result>(probe: (...given: Given) => Result) => {
    let probed: Result | undefined;
    return (...given: Given): Result => (probed ??= probe(...given));
  };
  return { ...media, probeClip: once(media.probeClip), probeSpeech: once(media.probeSpeech) };
});

const frozen = { labels: [fatalLabel] };
const every = ['heygen', 'wav2lip', 'preview'];
/** Cost of a take of the vendor in the tests; the local providers are free. */
const vendorMicros = 70;

let folder: string;
let sample: Awaited<ReturnType<typeof makeShortSample>>;
let bench: GateBench;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-gate-'));
  sample = await makeShortSample(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  bench = await openGateBench(sample);
});
afterEach(() => bench.remove());

function rejectTakesOf(...providers: readonly string[]): void {
  for (const provider of providers) bench.qualities[provider] = frozen;
}

/** Provider, outcome and code of each attempt. */
function endings({ attempts }: JobRecord<'lipsync'>): readonly string[] {
  return attempts.map(({ provider, outcome, code }) => [provider, outcome, code ?? ''].join(' ').trim());
}

function codes({ warnings }: JobRecord): readonly string[] {
  return warnings.map(({ code }) => code);
}

/** A store that fails once `kill` is called, as for a process that is killed. */
function dyingStore(): { readonly store: JobStore; kill(): void } {
  let isDead = false;
  const append: JobStore['append'] = (id, event) =>
    isDead ? Promise.reject(new Error('killed')) : bench.store.append(id, event);
  return { store: { ...bench.store, append }, kill: () => void (isDead = true) };
}

/** Runs the job until the worker is killed during an assessment. */
async function runUntilAssessment(): Promise<void> {
  const { store, kill } = dyingStore();
  bench.onAssess = kill;
  await expect(bench.run({ store })).rejects.toThrow('killed');
  bench.onAssess = () => undefined;
}

async function killWorkers(times: number): Promise<void> {
  for (let crash = 0; crash < times; crash += 1)
    await bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
}

describe('A take with a fatal label', () => {
  it('The next provider makes another one, which is delivered if it is accepted.', async () => {
    rejectTakesOf('heygen');
    bench.qualities['wav2lip'] = { videoQuality: 0.9 };
    await bench.start();
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'wav2lip', degraded: false } });
    expect(endings(record)).toEqual(['heygen failed quality_rejected', 'wav2lip succeeded']);
    expect(record.result?.quality).toMatchObject({ videoQuality: 0.9 });
    expect(codes(record)).toEqual([]);
    expect([await bench.output(), await bench.kept()]).toEqual(['wav2lip', []]);
  });

  it('The attempts show the figures and the real cost of every take, and the ledger has the same sum.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    const { attempts, cost_usd } = toJobView(await bench.run(), null);
    expect(attempts).toMatchObject([
      {
        provider: 'heygen',
        code: 'quality_rejected',
        message: 'mouth_frozen: The mouth does not move.',
        cost_usd: vendorMicros / 1e6,
        quality: { labels: [{ code: 'mouth_frozen', ranges: [{ start_ms: 0, end_ms: 1_000 }] }] },
      },
      { provider: 'wav2lip', cost_usd: 0, quality: { labels: [] } },
    ]);
    expect(cost_usd).toBe(vendorMicros / 1e6);
    expect(await bench.ledgerMicros()).toBe(vendorMicros);
  });

  it('It is delivered with a warning when every take is rejected, and its label is a warning with the same ranges.', async () => {
    rejectTakesOf(...every);
    await bench.start();
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen', quality: frozen } });
    expect(record.warnings).toEqual([
      { code: 'mouth_frozen', message: fatalLabel.message, ranges: fatalLabel.ranges },
      { code: 'quality_below_request', message: expect.stringContaining('mouth_frozen') },
    ]);
    expect(await bench.output()).toBe('heygen');
  });

  it('It is delivered with the fingerprint of its assessment.', async () => {
    rejectTakesOf('wav2lip');
    await bench.start({ method: 'wav2lip' });
    await bench.run();
    expect(bench.fingerprints).toEqual(['fingerprint of wav2lip']);
  });

  it('Only the frame times of takes that were encoded here are taken from the index of the file.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    await bench.run();
    expect([bench.assessed, bench.trusted]).toEqual([['heygen', 'wav2lip'], ['wav2lip']]);
  });

  it('A provider without a successor makes its take once.', async () => {
    rejectTakesOf('heygen');
    await bench.start({ method: 'heygen' });
    const record = await bench.run();
    expect(endings(record)).toEqual(['heygen failed quality_rejected']);
    expect(codes(record)).toContain('quality_below_request');
    expect(bench.vendor.started).toHaveLength(1);
  });

  it('No degraded take is made instead of it.', async () => {
    rejectTakesOf('heygen', 'wav2lip');
    await bench.start({ allowPreview: true });
    expect(endings(await bench.run())).toEqual(['heygen failed quality_rejected', 'wav2lip failed quality_rejected']);
    expect(bench.preview.runs).toBe(0);
  });
});

describe('The lowest accepted sync score', () => {
  it('A take below it is rejected, and the best of several rejected ones is delivered.', async () => {
    Object.assign(bench.qualities, { heygen: { syncScore: 0.4 }, wav2lip: { syncScore: 0.6 } });
    await bench.start({ minSyncScore: 0.7 });
    const record = await bench.run();
    expect(record.result).toMatchObject({ methodUsed: 'wav2lip', quality: { syncScore: 0.6 } });
    expect(record.attempts.map(({ quality }) => quality?.syncScore)).toEqual([0.4, 0.6]);
    expect(record.warnings.at(-1)?.message).toContain('0.60 is below 0.70');
  });

  it('A take without a score is accepted.', async () => {
    await bench.start({ minSyncScore: 1 });
    expect(endings(await bench.run())).toEqual(['heygen succeeded']);
  });

  it('The setting applies to requests without their own.', async () => {
    await bench.remove();
    bench = await openGateBench(sample, { minSyncScore: 0.7 });
    bench.qualities['heygen'] = { syncScore: 0.5 };
    await bench.start();
    expect(endings(await bench.run())).toEqual(['heygen failed quality_rejected', 'wav2lip succeeded']);
  });
});

describe('The best rejected take is delivered when no further one can be made', () => {
  beforeEach(() => rejectTakesOf('heygen'));

  it.each(['clip_unusable', 'internal', 'model_invalid', 'resource_exhausted'] as const)(
    'The next provider fails with %s.',
    async (code) => {
      bench.wav2lip.failures.push(...Array.from({ length: 3 }, () => new LipsyncError(code, 'scripted')));
      await bench.start();
      const record = await bench.run();
      expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' }, error: null });
      expect(endings(record)).toEqual(['heygen failed quality_rejected', `wav2lip failed ${code}`]);
      expect(codes(record)).toContain('quality_below_request');
    },
  );

  it('The cap of the request leaves too little for the next provider.', async () => {
    await bench.start({ optimize: 'cost', maxCostUsd: 0.00005 });
    rejectTakesOf('wav2lip');
    const record = await bench.run();
    expect(record.result).toMatchObject({ methodUsed: 'wav2lip' });
    expect(endings(record)).toEqual(['wav2lip failed quality_rejected', 'heygen failed budget_exceeded']);
    expect(bench.vendor.started).toEqual([]);
  });

  it.each([
    ['The next provider', ['heygen']],
    ['Every provider of the plan', ['heygen', 'wav2lip']],
  ])('%s is no longer configured, and its open attempt ends, because its money is reserved.', async (_, removed) => {
    rejectTakesOf('wav2lip');
    bench.vendor.starts.push('rate_limited');
    await bench.start({ optimize: 'cost' });
    expect(endings(await bench.run())).toEqual(['wav2lip failed quality_rejected', 'heygen running']);
    for (const id of removed) bench.unconfigured.add(id);
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'wav2lip' } });
    expect(endings(record)).toEqual(['wav2lip failed quality_rejected', 'heygen failed worker_crashed']);
    expect(bench.wav2lip.runs).toBe(1);
  });

  it('The deadline passes while the next provider works.', async () => {
    await bench.start({ deadlineMs: 1_000 });
    // As the timer of the deadline: the clock of the test stands still.
    bench.wav2lip.onRun = () => new Promise((resolve) => void setTimeout(resolve, 1_500));
    bench.wav2lip.failures.push(new Error('interrupted'));
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
    expect(endings(record)).toEqual(['heygen failed quality_rejected', 'wav2lip failed deadline_exceeded']);
  });

  it('The deadline passes while the job waits for a worker of the next provider.', async () => {
    await bench.start({ deadlineMs: 5_000 });
    const cloud = { canRun: (work: string) => work === 'remote' };
    const left = await bench.run({}, cloud);
    expect(left).toMatchObject({ status: 'queued', needs: 'inline' });
    expect(await bench.kept()).toEqual(['candidate-0.mp4']);
    bench.time.nowMs += 5_000;
    const record = await bench.run({}, { canRun: (work) => work === 'inline' });
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' }, attempts: [{}] });
    expect([await bench.output(), bench.wav2lip.runs]).toEqual(['heygen', 0]);
  });

  it('The next provider crashes every worker.', async () => {
    await bench.start();
    await bench.run({}, { canRun: (work) => work === 'remote' });
    await killWorkers(6);
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
  });
});

describe('The kept takes of a job', () => {
  it('Only the best rejected take is kept.', async () => {
    Object.assign(bench.qualities, { heygen: { syncScore: 0.6 }, wav2lip: { syncScore: 0.4 } });
    await bench.start({ minSyncScore: 0.7 });
    const kept: string[] = [];
    const record = await bench.run({
      publish: async (takePath) => {
        kept.push(...(await bench.kept()).filter((name) => name.endsWith('.mp4')));
        return (await bench.artifacts.publish(takePath, 'outputs/job_1/output.mp4')).key;
      },
    });
    expect(kept).toEqual(['candidate-0.mp4']);
    expect(record.attempts.map(({ take }) => take)).toEqual([undefined, undefined]);
  });

  it('Another host continues with the next provider and can still deliver the first take.', async () => {
    rejectTakesOf('heygen', 'wav2lip');
    await bench.start();
    await bench.run({}, { canRun: (work) => work === 'remote' });
    const record = await bench.run({}, { canRun: (work) => work === 'inline' });
    expect(endings(record)).toEqual(['heygen failed quality_rejected', 'wav2lip failed quality_rejected']);
    expect(await bench.output()).toBe('heygen');
  });

  describe('with an object store, on machines with folders of their own,', () => {
    const machine = (name: string) => ({
      workFolder: join(bench.workFolder, name),
      sharedTakes: bench.artifacts,
    });
    const stored = async (index: number) => (await bench.artifacts.stat(`outputs/job_1/candidate-${index}.mp4`))?.key;
    const start = async (): Promise<void> => {
      await bench.start();
      await bench.run(machine('first'), { canRun: (work) => work === 'remote' });
    };
    const continueOn = (name: string, change = {}) =>
      bench.run({ ...machine(name), ...change }, { canRun: (work) => work === 'inline' });

    it('A take that was rejected on one machine is delivered by another one, and nothing of it remains.', async () => {
      rejectTakesOf('heygen', 'wav2lip');
      await start();
      expect(await stored(0)).toBe('outputs/job_1/candidate-0.mp4');
      expect(await readdir(join(bench.workFolder, 'first', 'job_1')).catch(() => [])).toEqual([]);
      const record = await continueOn('second');
      expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
      expect(await bench.output()).toBe('heygen');
      expect([await stored(0), await stored(1)]).toEqual([undefined, undefined]);
    });

    it('It is also delivered when the later providers fail, and by a third machine if the second could not publish it.', async () => {
      rejectTakesOf('heygen');
      await start();
      bench.wav2lip.failures.push(...Array.from({ length: 9 }, () => new LipsyncError('internal', 'scripted')));
      const full = () => Promise.reject(new LipsyncError('storage_unwritable', 'full'));
      const parked = await continueOn('second', { publish: full, isPublishRetried: () => true });
      expect(parked).toMatchObject({ stage: 'waiting', keptTake: { methodUsed: 'heygen' } });
      expect(await continueOn('third')).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
      expect(await bench.output()).toBe('heygen');
    });

    it('A cancel deletes it in the store.', async () => {
      rejectTakesOf('heygen');
      await start();
      await bench.store.append('job_1', { type: 'cancel_requested' });
      expect(await continueOn('second')).toMatchObject({ status: 'canceled' });
      expect(await stored(0)).toBeUndefined();
    });

    it('A store that does not answer after the take was published leaves the job waiting, not failed.', async () => {
      rejectTakesOf(...every);
      await start();
      let isKilled = false;
      const append: JobStore['append'] = (...given) =>
        isKilled ? Promise.reject(new Error('killed')) : bench.store.append(...given);
      const publish = async (takePath: string): Promise<string> => {
        isKilled = true;
        return (await bench.artifacts.publish(takePath, 'outputs/job_1/output.mp4')).key;
      };
      await expect(continueOn('second', { publish, store: { ...bench.store, append } })).rejects.toThrow('killed');
      await bench.artifacts.delete('outputs/job_1/candidate-0.mp4');
      const down = () => Promise.reject(new StorageError('store_unavailable', 's3://bucket/', 'down', undefined));
      expect(await continueOn('second', { findPublished: down })).toMatchObject({ stage: 'waiting' });
      expect(await continueOn('third')).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
    });

    it('While the store does not answer, the job waits, and the vendor is not paid again.', async () => {
      rejectTakesOf('heygen');
      const down = () => Promise.reject(new StorageError('store_unavailable', 's3://bucket/', 'down', undefined));
      await bench.start();
      const sharedTakes = { ...machine('first'), sharedTakes: { publish: down, materialize: down, delete: down } };
      expect(await bench.run(sharedTakes)).toMatchObject({ status: 'processing', stage: 'waiting', crashes: 0 });
      const record = await bench.run(machine('first'));
      expect(endings(record)).toEqual(['heygen failed quality_rejected', 'wav2lip succeeded']);
      expect([bench.vendor.started.length, await bench.ledgerMicros()]).toEqual([1, vendorMicros]);
    });
  });

  it('A job whose only take was lost with its machine ends with the error of the last provider.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    await bench.run({ workFolder: join(bench.workFolder, 'first') }, { canRun: (work) => work === 'remote' });
    const failures = Array.from({ length: 9 }, () => new LipsyncError('media_failed', 'scripted'));
    bench.wav2lip.failures.push(...failures);
    bench.preview.failures.push(...failures);
    const workFolder = join(bench.workFolder, 'second');
    const record = await bench.run({ workFolder }, { canRun: (work) => work === 'inline' });
    expect(record).toMatchObject({ status: 'failed', error: { code: 'media_failed' } });
  });

  it('A cancel while the job waits for the next provider deletes them, and a worker does it.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    await bench.run({}, { canRun: (work) => work === 'remote' });
    await bench.store.append('job_1', { type: 'cancel_requested' });
    expect(await bench.run()).toMatchObject({ status: 'canceled', attempts: [{ costMicros: vendorMicros }] });
    expect(await bench.kept()).toEqual([]);
  });

  it('A cancel during an assessment ends the job.', async () => {
    await bench.start();
    const canceled = new AbortController();
    bench.onAssess = () => canceled.abort(new LipsyncError('canceled', 'enough'));
    expect(await bench.run({}, { cancelSignal: canceled.signal })).toMatchObject({ status: 'canceled' });
    expect(await bench.kept()).toEqual([]);
  });

  it('A rejected take that cannot be kept parks the job, and the vendor is not paid again.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    // A file in the place of the folder: no file can be written below it, not even by root.
    const keptTakeFolder = join(bench.workFolder, '..', 'kept');
    await mkdir(dirname(keptTakeFolder), { recursive: true });
    await writeFile(keptTakeFolder, '');
    expect(await bench.run({ keptTakeFolder })).toMatchObject({ status: 'processing', stage: 'waiting', crashes: 0 });
    await rm(keptTakeFolder);
    const record = await bench.run({ keptTakeFolder });
    expect(endings(record)).toEqual(['heygen failed quality_rejected', 'wav2lip succeeded']);
    expect([bench.vendor.started.length, await bench.ledgerMicros()]).toEqual([1, vendorMicros]);
  });

  it('The best rejected take waits until it can be published, and is not made again.', async () => {
    rejectTakesOf(...every);
    await bench.start();
    const full = () => Promise.reject(new LipsyncError('storage_unwritable', 'full'));
    const parked = await bench.run({ publish: full, isPublishRetried: () => true });
    expect(parked).toMatchObject({ stage: 'waiting', keptTake: { methodUsed: 'heygen', attemptIndex: 0 } });
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
    expect(codes(record)).toContain('quality_below_request');
    expect(record.result).not.toHaveProperty('attemptIndex');
    expect([bench.vendor.started.length, bench.wav2lip.runs]).toEqual([1, 1]);
  });
});

describe('A worker that shuts down', () => {
  it('While the next provider works, it leaves the rejected take and the rest of the plan to another worker.', async () => {
    rejectTakesOf('heygen');
    await bench.start();
    const shutdown = new AbortController();
    bench.wav2lip.onRun = () => shutdown.abort();
    bench.wav2lip.failures.push(new Error('interrupted'));
    await expect(bench.run({}, { signal: shutdown.signal })).rejects.toThrow();
    expect(await bench.kept()).toEqual(['candidate-0.mp4']);
    bench.wav2lip.onRun = () => undefined;
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'wav2lip' } });
    expect([bench.vendor.started.length, await bench.ledgerMicros()]).toEqual([1, vendorMicros]);
  });

  it('During an assessment, it delivers the take.', async () => {
    await bench.start();
    const shutdown = new AbortController();
    bench.onAssess = () => shutdown.abort();
    expect(await bench.run({}, { signal: shutdown.signal })).toMatchObject({ status: 'completed' });
  });
});

describe('A worker that is killed', () => {
  it.each([
    ['the second take is accepted', ['heygen'], 'wav2lip'],
    ['every take is rejected', every, 'heygen'],
  ])('At any change of the record, nothing is lost or paid twice when %s.', async (_, rejected, winner) => {
    let crashes = 0;
    for (let events = 0; ; events += 1) {
      await bench.remove();
      bench = await openGateBench(sample);
      rejectTakesOf(...rejected);
      await bench.start();
      const end = await bench.runUntilCrash(events).catch(() => undefined);
      if (end) break;
      crashes += 1;
      const record = await bench.run();
      const at = `after ${events} changes`;
      expect([record.status, record.result?.methodUsed, at]).toEqual(['completed', winner, at]);
      expect([new Set(bench.vendor.started).size, await bench.ledgerMicros(), at]).toEqual([1, vendorMicros, at]);
      expect(codes(record).includes('quality_below_request')).toBe(rejected.length === every.length);
      expect([await bench.output(), await bench.kept(), at]).toEqual([winner, [], at]);
    }
    expect(crashes).toBeGreaterThan(6);
  });

  it.each([
    ['the deadline has passed', () => void (bench.time.nowMs += 60_000)],
    ['its assessment has killed every worker', () => killWorkers(5)],
  ])('During an assessment, the paid take is delivered when %s before another run.', async (_, endInTime) => {
    await bench.start({ deadlineMs: 60_000 });
    await runUntilAssessment();
    await endInTime();
    // Workers that are killed while they end the job change nothing.
    for (let events = 0; events < 4; events += 1) await bench.runUntilCrash(events).catch(() => undefined);
    const record = await bench.run();
    expect(endings(record)).toEqual(['heygen succeeded']);
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' }, error: null });
    expect(codes(record)).toEqual(['quality_not_measured']);
    expect([await bench.output(), await bench.kept()]).toEqual(['heygen', []]);
  });

  it('Between the acceptance of a paid take and its publication, the take is delivered after the deadline.', async () => {
    await bench.start({ deadlineMs: 60_000 });
    const { store, kill } = dyingStore();
    const publish = async (): Promise<never> => {
      kill();
      throw new Error('killed');
    };
    await expect(bench.run({ store, publish })).rejects.toThrow('killed');
    bench.time.nowMs += 60_000;
    const record = await bench.run();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen', quality: { labels: [] } } });
    expect([codes(record), await bench.output()]).toEqual([[], 'heygen']);
  });

  it('Between a local take and its assessment, the take is assessed and not rendered again.', async () => {
    await bench.start({ method: 'wav2lip' });
    await runUntilAssessment();
    expect(await bench.kept()).toEqual(['candidate-0.mp4']);
    const record = await bench.run();
    expect(endings(record)).toEqual(['wav2lip succeeded']);
    expect([bench.wav2lip.runs, bench.assessed]).toEqual([1, ['wav2lip', 'wav2lip']]);
  });
});
