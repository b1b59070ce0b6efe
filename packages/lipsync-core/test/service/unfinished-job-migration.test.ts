import { lipsyncJob } from '../../src/testing/index.ts';
import { spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/contract/system-ports.ts';
import { StateJobStore } from '../../src/jobs/state-job-store.ts';
import { thisProcess, type ProcessOwner } from '../../src/processes/process-owner.ts';
import { LocalJobIndex } from '../../src/service/local-job-index.ts';
import { hasUnmigratedJob, migrateUnfinishedJobs } from '../../src/service/unfinished-job-migration.ts';
import type { StateStore, StoredDocument } from '../../src/storage/state-store.ts';
import { createMemoryState, type MemoryState } from '../../src/testing/memory-state-store.ts';
import { programWorkDigest, storeUnfinishedJob, unfinishedJobKey } from './unfinished-jobs.ts';

const jobId = 'job_1';
const outputPath = '/out/take.mp4';
let memory: MemoryState;
let state: StateStore;
let dead: ProcessOwner;

beforeEach(async () => {
  memory = createMemoryState();
  state = memory.open();
  dead = { ...(await thisProcess()), pid: spawnSync('true').pid };
});

async function storedKeys(): Promise<readonly string[]> {
  return (await state.list('', { limit: 1_000 })).map(({ key }) => key.replace(/[0-9a-f]{64}/, 'digest'));
}

/** A store of a process that is interrupted by `interruption` after it listed the unfinished jobs. */
function interruptedAfterList(interruption: () => Promise<void>): StateStore {
  return {
    async list(prefix, page) {
      const found = await state.list(prefix, page);
      await interruption();
      return found;
    },
    transact: (keys, change) => state.transact(keys, change),
    close: () => state.close(),
  };
}

describe('The migration of unfinished jobs', () => {
  it('Two migrations at once store one record and one index entry, with the time of the last change.', async () => {
    await storeUnfinishedJob(state, { jobId, outputPath, owner: dead, atMs: 1_234 });
    await Promise.all([migrateUnfinishedJobs(state), migrateUnfinishedJobs(memory.open())]);
    expect(await storedKeys()).toEqual([`jobs/${jobId}`, `local-jobs/digest/${jobId}`]);
    expect(await new StateJobStore({ state }).getChangedAtMs(jobId)).toBe(1_234);
  });

  it('A sweep that listed a job before a request migrated and claimed it changes nothing.', async () => {
    await storeUnfinishedJob(state, { jobId, outputPath, owner: dead });
    let claimed: readonly StoredDocument[] = [];
    const slow = interruptedAfterList(async () => {
      await migrateUnfinishedJobs(state, programWorkDigest);
      const store = new StateJobStore({ state });
      const index = new LocalJobIndex({ state, store, clock: systemClock, operationMs: 1_000 });
      await index.claim(programWorkDigest, await store.get(jobId).then(lipsyncJob), outputPath);
      claimed = await state.list('', { limit: 10 });
    });
    await migrateUnfinishedJobs(slow);
    expect(claimed).toHaveLength(2);
    expect(await state.list('', { limit: 10 })).toEqual(claimed);
  });

  it('A job that an earlier version claims after the migration listed it is left alone.', async () => {
    await storeUnfinishedJob(state, { jobId, outputPath, owner: dead });
    const living = await thisProcess();
    await migrateUnfinishedJobs(
      interruptedAfterList(() => storeUnfinishedJob(state, { jobId, outputPath, owner: living })),
    );
    expect(await storedKeys()).toEqual([`unfinished/digest/${jobId}`]);
    expect(await hasUnmigratedJob(state, jobId)).toBe(true);
  });

  it('A slow migration does not create the record of a job again that another process has finished.', async () => {
    await storeUnfinishedJob(state, { jobId, outputPath, owner: null });
    const key = unfinishedJobKey({ jobId });
    await migrateUnfinishedJobs(
      interruptedAfterList(() => state.transact([key], () => ({ result: undefined, writes: new Map([[key, null]]) }))),
    );
    expect(await storedKeys()).toEqual([]);
    expect(await hasUnmigratedJob(state, jobId)).toBe(false);
  });
});
