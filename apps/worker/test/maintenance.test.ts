import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LipsyncError, UnreadableRecordError, newJobRecord, systemClock, type JobRecord } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { runMaintenance, type MaintenanceOptions } from '../src/maintenance.ts';

const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
const waiting = newJobRecord({
  id: 'job_waiting',
  options: lipsyncOptionsSchema.parse({}),
  video: input,
  audio: input,
  owner: null,
  nowMs: 1,
});
const workFolder = '/nonexistent';
const records = new Map<string, JobRecord>([
  ['job_waiting', waiting],
  ['job_done', { ...waiting, status: 'completed' }],
]);

/** Runs maintenance until `stop` aborts, without one after about two rounds, and returns the fields of the warnings. */
async function runTwice(change: Partial<MaintenanceOptions>, stop = new AbortController()): Promise<unknown[]> {
  const warnings: unknown[] = [];
  const running = runMaintenance(
    {
      batches: { sweep: async () => 0 },
      producer: { sweep: async () => ({ requeued: 0, expired: 0 }) },
      erasure: { resumeAll: async () => 0, deleteUnusedUploads: async () => 0 },
      userErasure: { resumeAll: async () => 0 },
      rewriteErasedData: async () => false,
      retention: { run: async () => ({ inputs: 0, outputs: 0, records: 0 }) },
      core: { deleteVendorCopies: async () => 0, reconcile: async () => 0, sweepSlots: async () => 0, workFolder },
      store: { get: async (id) => records.get(id) },
      artifacts: { sweep: async () => 0 },
      clock: systemClock,
      intervalMs: 20,
      logger: {
        debug: () => undefined,
        info: () => undefined,
        warn: (bindings) => void warnings.push(bindings),
        error: () => undefined,
      },
      ...change,
    },
    stop.signal,
  );
  await delay(90);
  stop.abort();
  await running;
  return warnings;
}

describe('runMaintenance', () => {
  it('Maintenance treats slots of ended and unknown jobs as free, and no others.', async () => {
    const gone: [string, boolean][] = [];
    await runTwice({
      core: {
        deleteVendorCopies: async () => 0,
        reconcile: async () => 0,
        workFolder,
        async sweepSlots(isGone) {
          gone.length = 0;
          for (const id of ['job_waiting', 'job_done', 'job_unknown']) gone.push([id, await isGone(id)]);
          return 0;
        },
      },
    });
    expect(gone).toEqual([
      ['job_waiting', false],
      ['job_done', true],
      ['job_unknown', true],
    ]);
  });

  it('No maintenance task starts after the worker began to stop.', async () => {
    const stop = new AbortController();
    const started: string[] = [];
    const sweep = (name: string) => async () => {
      started.push(name);
      stop.abort();
      throw new LipsyncError('resource_exhausted', 'Redis cannot be reached.');
    };
    const producer = { sweep: sweep('jobs') };
    await runTwice({ producer, batches: { sweep: sweep('batches') }, artifacts: { sweep: sweep('artifacts') } }, stop);
    expect(started).toEqual(['jobs']);
  });

  it('An unreadable job record is logged and keeps its slot, and the other slots and the artifacts are still swept.', async () => {
    const gone: [string, boolean][] = [];
    let artifactSweeps = 0;
    const warnings = await runTwice({
      store: {
        async get(id) {
          if (id === 'job_unreadable')
            throw new UnreadableRecordError('The record of the job is unreadable.', { isNewer: false });
          return records.get(id);
        },
      },
      core: {
        deleteVendorCopies: async () => 0,
        reconcile: async () => 0,
        workFolder,
        async sweepSlots(isGone) {
          gone.length = 0;
          for (const id of ['job_unreadable', 'job_done']) gone.push([id, await isGone(id)]);
          return 0;
        },
      },
      artifacts: { sweep: async () => (artifactSweeps += 1) },
    });
    expect(gone).toEqual([
      ['job_unreadable', false],
      ['job_done', true],
    ]);
    expect(artifactSweeps).toBeGreaterThanOrEqual(2);
    expect(warnings[0]).toMatchObject({ jobId: 'job_unreadable' });
  });

  it('Artifacts are swept in every round, even if the sweeps of jobs and slots fail.', async () => {
    let artifactSweeps = 0;
    const fail = () => Promise.reject(new Error('Redis is down'));
    await runTwice({
      producer: { sweep: fail },
      core: { deleteVendorCopies: async () => 0, reconcile: async () => 0, sweepSlots: fail, workFolder },
      artifacts: { sweep: async () => (artifactSweeps += 1) },
    });
    expect(artifactSweeps).toBeGreaterThanOrEqual(2);
  });

  it('Users are erased in every round, even if a job cannot be erased.', async () => {
    let rounds = 0;
    const erasure = { resumeAll: () => Promise.reject(new Error('damaged')), deleteUnusedUploads: async () => 0 };
    const userErasure = { resumeAll: async () => (rounds += 1) };
    await runTwice({ erasure, userErasure });
    expect(rounds).toBeGreaterThanOrEqual(2);
  });

  it('Pending settlements are reconciled in every round, even if the sweep fails.', async () => {
    let settled = 0;
    const warnings = await runTwice({
      producer: { sweep: () => Promise.reject(new Error('Redis is down')) },
      core: {
        deleteVendorCopies: async () => 0,
        reconcile: async () => (settled += 1),
        sweepSlots: async () => 0,
        workFolder,
      },
    });
    expect(settled).toBeGreaterThanOrEqual(2);
    expect(warnings.length).toBeGreaterThanOrEqual(2);
  });
});
