import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CappedBatch } from '../../src/billing/ledger-entry.ts';
import { createIdSource, systemClock } from '../../src/contract/system-ports.ts';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { LocalBatches, type BatchContext, type BatchItemOutcome } from '../../src/service/local-batches.ts';
import { LocalJobs, type LocalJobInput } from '../../src/service/local-jobs.ts';
import { OutputFiles } from '../../src/service/output-file.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { makeTake, workUntilStopped, type Script } from '../jobs/pipeline-scripts.ts';

let folder: string;
const memory = createMemoryState();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-batches-'));
  for (const name of ['a', 'b', 'c', 'bad', 'speech']) await writeFile(join(folder, name), name);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Names of the clips that were made into takes, in order. */
let made: string[] = [];
beforeEach(() => void (made = []));

/** Makes takes, and fails for the clip "bad". */
const makeOrFail: Script = async (input, context) => {
  const clip = await readFile((await input.fetchInputs()).clipPath, 'utf8');
  made.push(clip);
  if (clip === 'bad') throw new LipsyncError('clip_unusable', 'No face.');
  return makeTake(input, context);
};

/** A program. Programs of one test share the state, as processes of one data folder do. */
function batchesOf(run: Script, changeJobs: (jobs: LocalJobs) => Pick<LocalJobs, 'run' | 'find'> = (jobs) => jobs) {
  const state = memory.open();
  const outputFiles = new OutputFiles();
  const jobs = new LocalJobs({
    state,
    pipeline: { run, abandon: async () => undefined },
    outputFiles,
    workFolder: join(folder, 'work'),
    downloads: { maxBytes: 1_000, allowedPrivateHosts: parseAllowedHosts([]), minBytesPerSecond: 0 },
    clock: systemClock,
    ids: createIdSource(systemClock),
    operationMs: 60_000,
  });
  return new LocalBatches({ state, clock: systemClock, outputFiles, localJobs: changeJobs(jobs) });
}

function inputsOf(...clips: readonly string[]): readonly LocalJobInput[] {
  return clips.map((clip, index) => ({
    videoPath: join(folder, clip),
    audioPath: join(folder, 'speech'),
    outputPath: join(folder, 'out', `${index}-${clip}.mp4`),
    overwrite: false,
    options: lipsyncOptionsSchema.parse({}),
  }));
}

const context = (more: Partial<BatchContext> = {}): BatchContext => ({
  signal: new AbortController().signal,
  concurrency: 1,
  ...more,
});

const refuseNone = (): void => undefined;
const statuses = (items: readonly BatchItemOutcome[]) => items.map(({ status }) => status);
const outputs = () => readdir(join(folder, 'out')).then((names) => names.toSorted());

describe('in-process batch', () => {
  it('Items have the cap of their batch, which counts what earlier runs have cost, with a new limit for a new run.', async () => {
    const seen: (CappedBatch | undefined)[] = [];
    const runWith = (maxCostUsd: number | undefined, isBad: boolean) =>
      batchesOf(async (input, options) => {
        seen.push(input.batch);
        if (isBad) throw new LipsyncError('budget_exceeded', 'Too expensive.');
        return makeTake(input, options);
      }).run(inputsOf('a', 'c'), refuseNone, context({ maxCostUsd }));
    expect(statuses((await runWith(1, true)).items)).toEqual(['failed', 'failed']);
    expect(statuses((await runWith(2, false)).items)).toEqual(['completed', 'completed']);
    const [{ id = '' } = {}] = seen;
    expect(seen).toEqual([
      ...[1, 1].map((usd) => ({ id, capMicros: usd * 1e6 })),
      ...[2, 2].map((usd) => ({ id, capMicros: usd * 1e6 })),
    ]);
    await rm(join(folder, 'out'), { recursive: true });
    seen.length = 0;
    await runWith(2, false);
    expect(seen[0]?.id).not.toBe(id);
    await rm(join(folder, 'out'), { recursive: true });
    await runWith(undefined, false);
    expect(seen.at(-1)).toBeUndefined();
  });

  it('A failed item does not fail the others, and the summary is exact.', async () => {
    const { items, summary } = await batchesOf(makeOrFail).run(inputsOf('a', 'bad', 'c'), refuseNone, context());
    expect(statuses(items)).toEqual(['completed', 'failed', 'completed']);
    expect(items[1]?.error).toMatchObject({ code: 'clip_unusable' });
    expect(summary).toEqual({
      total: 3,
      success: 2,
      failed: 1,
      canceled: 0,
      totalDurationMs: 2_000,
      totalCostMicros: 0,
    });
    expect(await outputs()).toEqual(['0-a.mp4', '2-c.mp4']);
  });

  it('The same batch, started again, runs only what is not complete.', async () => {
    const inputs = inputsOf('a', 'bad', 'c');
    await batchesOf(makeOrFail).run(inputs, refuseNone, context());
    const { items, summary } = await batchesOf(makeTake).run(inputs, refuseNone, context());
    expect(items.map(({ isFromEarlierRun }) => isFromEarlierRun)).toEqual([true, false, true]);
    expect(summary).toMatchObject({ total: 3, success: 3, failed: 0, totalDurationMs: 3_000 });
  });

  it('A complete batch leaves nothing behind: its outputs are refused when it is started again.', async () => {
    const inputs = inputsOf('a', 'b');
    await batchesOf(makeOrFail).run(inputs, refuseNone, context());
    const problems: unknown[] = [];
    const refuse = (found: readonly { readonly item: number }[]): void => {
      problems.push(...found.map(({ item }) => item));
      if (found.length > 0) throw new LipsyncError('output_exists', 'refused');
    };
    await expect(batchesOf(makeOrFail).run(inputs, refuse, context())).rejects.toMatchObject({ code: 'output_exists' });
    expect(problems).toEqual([0, 1]);
    expect(made).toEqual(['a', 'b']);
  });

  it('A canceled batch stops its running item and starts no more; a second run completes it.', async () => {
    const controller = new AbortController();
    const stopped = workUntilStopped(() => controller.abort(new LipsyncError('canceled', 'Enough.')));
    const inputs = inputsOf('a', 'b');
    const { items, summary } = await batchesOf(stopped).run(inputs, refuseNone, context({ signal: controller.signal }));
    expect(statuses(items)).toEqual(['canceled', 'canceled']);
    expect(summary).toMatchObject({ total: 2, canceled: 2 });
    expect((await batchesOf(makeOrFail).run(inputs, refuseNone, context())).summary).toMatchObject({ success: 2 });
  });

  it('A process that dies between the output of an item and its result makes the output once.', async () => {
    const inputs = inputsOf('a', 'b');
    const ended = Promise.withResolvers<void>();
    // The process hangs before the result is stored; its job record stays.
    const hang = (): Promise<void> => {
      ended.resolve();
      return new Promise(() => undefined);
    };
    const dyingJobs = (jobs: LocalJobs): Pick<LocalJobs, 'run' | 'find'> => ({
      find: (id) => jobs.find(id),
      run: (input, callbacks) => jobs.run(input, { ...callbacks, onEnded: hang }),
    });
    void batchesOf(makeOrFail, dyingJobs).run(inputs, refuseNone, context());
    await ended.promise;
    await releaseJournal();
    const { items } = await batchesOf(makeOrFail).run(inputs, refuseNone, context());
    expect(items.map(({ status, isFromEarlierRun }) => [status, isFromEarlierRun])).toEqual([
      ['completed', true],
      ['completed', false],
    ]);
    expect(made).toEqual(['a', 'b']);
  });

  it('A batch that another process runs is refused.', async () => {
    const inputs = inputsOf('a');
    const controller = new AbortController();
    const started = Promise.withResolvers<void>();
    const first = batchesOf(workUntilStopped(() => started.resolve())).run(
      inputs,
      refuseNone,
      context({ signal: controller.signal }),
    );
    await started.promise;
    await expect(batchesOf(makeOrFail).run(inputs, refuseNone, context())).rejects.toMatchObject({ code: 'conflict' });
    controller.abort(new LipsyncError('canceled', 'Enough.'));
    await first;
  });
});

async function journalKeys(): Promise<readonly string[]> {
  const documents = await memory.open().list('local-batches/', { limit: 100 });
  return documents.filter(({ key }) => !key.slice('local-batches/'.length).includes('/')).map(({ key }) => key);
}

/** Ends the claims of all programs, as their death does. */
async function releaseJournal(): Promise<void> {
  for (const key of await journalKeys())
    await memory.open().transact([key], () => ({
      result: undefined,
      writes: new Map([[key, { owner: null, changedAtMs: Date.now() }]]),
    }));
}
