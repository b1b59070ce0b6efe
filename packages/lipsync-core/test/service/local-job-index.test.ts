import { testAttempt } from '../../src/testing/index.ts';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { newJobRecord, type JobRecord } from '../../src/jobs/job-record.ts';
import { StateJobStore } from '../../src/jobs/state-job-store.ts';
import { LocalJobIndex } from '../../src/service/local-job-index.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';

const operationMs = 600_000;
const dayMs = 24 * 3_600_000;
const workDigest = 'f'.repeat(64);
const clock = { atMs: 0, nowMs: () => clock.atMs };

let folder: string;
let state: StateStore;
let store: StateJobStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-job-index-'));
  clock.atMs = 1_000_000;
  state = createMemoryState().open();
  store = new StateJobStore({ state, clock });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function indexOf(indexState: StateStore): LocalJobIndex {
  return new LocalJobIndex({
    state: indexState,
    store: new StateJobStore({ state: indexState, clock }),
    clock,
    operationMs,
  });
}

function newRecord(id: string): JobRecord<'lipsync'> {
  const input = { kind: 'file', path: '/in' } as const;
  const options = lipsyncOptionsSchema.parse({});
  return newJobRecord({ id, options, owner: null, nowMs: clock.nowMs(), video: input, audio: input });
}

const outputPath = (name: string): string => join(folder, name, 'take.mp4');

/** Starts a job and releases it while its attempt runs. The request of the attempt is stored `requestAfterMs` later. */
async function leaveRunning(jobId: string, requestAfterMs: number): Promise<void> {
  const attempt = testAttempt({
    startedAtMs: clock.nowMs(),
  });
  const index = indexOf(state);
  const { entry } = await index.claim(workDigest, newRecord(jobId), outputPath('first'));
  const { runs: run } = await store.append(jobId, { type: 'run_started', atMs: clock.nowMs() });
  await store.append(jobId, { type: 'attempts_changed', run, attempts: [attempt] });
  clock.atMs += requestAfterMs;
  const request = { idempotencyKey: 'key', state: {}, unacknowledgedSinceMs: clock.nowMs() };
  await store.append(jobId, { type: 'attempts_changed', run, attempts: [{ ...attempt, request }] });
  await index.release(entry);
}

describe('The time of the last change of an in-process job', () => {
  it('A request that is sent late in its attempt keeps the slot until its operation cannot run any more.', async () => {
    await leaveRunning('job_1', 10 * operationMs);
    clock.atMs += operationMs - 1;
    expect(await indexOf(state).isOver('job_1')).toBe(false);
    clock.atMs += 1;
    expect(await indexOf(state).isOver('job_1')).toBe(true);
  });

  it('A job can be resumed for a day after its request was sent, not after its attempt started.', async () => {
    await leaveRunning('job_1', dayMs);
    clock.atMs += dayMs - 1;
    await indexOf(state).endAbandoned(() => Promise.reject(new Error('The job was abandoned.')));
    const claimed = await indexOf(state).claim(workDigest, newRecord('job_2'), outputPath('first'));
    expect(claimed.record.id).toBe('job_1');
  });

  it('Progress does not extend the time in which a job can be resumed.', async () => {
    await leaveRunning('job_1', 0);
    clock.atMs += dayMs;
    await store.append('job_1', {
      type: 'progressed',
      run: 1,
      stage: 'rendering',
      progress: 50,
      message: 'Rendering.',
    });
    const claimed = await indexOf(state).claim(workDigest, newRecord('job_2'), outputPath('first'));
    expect(claimed.record.id).toBe('job_2');
  });

  it('A job that could not be ended is ended by the next sweep.', async () => {
    await leaveRunning('job_1', 0);
    clock.atMs += dayMs;
    const failing = indexOf(state).endAbandoned(async ({ record }) => {
      await store.append(record.id, { type: 'run_started', atMs: clock.nowMs() });
      throw new Error('The vendor does not answer.');
    });
    await expect(failing).rejects.toThrow('The vendor does not answer.');
    await state.transact([`local-jobs/${workDigest}/job_1`], (documents) => {
      const [[key, entry] = ['', {}]] = [...documents];
      return { result: undefined, writes: new Map([[key, { ...Object(entry), owner: null }]]) };
    });
    const ended: string[] = [];
    await indexOf(state).endAbandoned(async ({ record }) => void ended.push(record.id));
    expect(ended).toEqual(['job_1']);
  });
});

describe('The partial file of a job that is resumed for another output', () => {
  /** A store of a process that is killed right after its n-th transaction. */
  function killedAfter(transactions: number): StateStore {
    let left = transactions;
    return {
      list: (prefix, page) => state.list(prefix, page),
      async transact(keys, change) {
        const result = await state.transact(keys, change);
        left -= 1;
        if (left > 0) return result;
        throw new Error('The process was killed.');
      },
      close: () => state.close(),
    };
  }

  it('A kill at any step of the claim leaves no partial file in a folder that the index does not name.', async () => {
    await leaveRunning('job_1', 0);
    await mkdir(dirname(outputPath('first')));
    const partPath = join(folder, 'first', '.job_1.part');
    let isClaimed = false;
    for (let transactions = 1; !isClaimed; transactions += 1) {
      await writeFile(partPath, '');
      await writeEntry({ owner: null, outputPath: outputPath('first') });
      isClaimed = await indexOf(killedAfter(transactions))
        .claim(workDigest, newRecord('job_2'), outputPath('second'))
        .then(() => true)
        .catch(() => false);
      const leaked = [true, { outputPath: outputPath('second') }];
      expect([existsSync(partPath), await readEntry()]).not.toMatchObject(leaked);
    }
    expect([await readEntry(), existsSync(partPath)]).toMatchObject([{ outputPath: outputPath('second') }, false]);
  });

  const key = `local-jobs/${workDigest}/job_1`;
  const readEntry = (): Promise<object> =>
    state.transact([key], (documents) => ({ result: Object(documents.get(key)) as object }));

  async function writeEntry(changes: { readonly owner: null; readonly outputPath: string }): Promise<void> {
    const entry = { ...(await readEntry()), ...changes };
    await state.transact([key], () => ({ result: undefined, writes: new Map([[key, entry]]) }));
  }
});
