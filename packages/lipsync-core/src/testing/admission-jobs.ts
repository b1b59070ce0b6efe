import { setTimeout as delay } from 'node:timers/promises';
import type { Payer } from '../billing/ledger-entry.ts';
import { toMicros } from '../billing/micros.ts';
import { LipsyncError } from '../errors/index.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import { systemClock as clock } from '../contract/system-ports.ts';
import type { Admission } from '../providers/admission.ts';
import { runChain } from '../providers/chain.ts';
import type { RemoteProvider, TakeRequest } from '../providers/provider.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import type { Attempt } from '../providers/attempt.ts';
import { createTestAdmission } from './test-admission.ts';

export const vendorLimit = 3;
export const vendorPriceMicros = 70;
const jobsPerChild = 8;

/** A batch whose cap covers some of the jobs. */
export const cappedBatch = { id: 'batch_1', capMicros: toMicros(500) };

export function jobsOfChild(child: number): readonly string[] {
  return Array.from({ length: jobsPerChild }, (_, index) => `job_${child}_${index}`);
}

/** A vendor shared by all processes, as JSON in their state store. */
export type SharedVendor = {
  readonly running: readonly string[];
  /** Highest number of simultaneous operations. */
  readonly most: number;
  /** Idempotency keys of all operations. */
  readonly started: readonly string[];
};

const vendorKey = 'vendor';

export function readVendor(state: StateStore): Promise<SharedVendor> {
  return changeVendor(state, (vendor) => vendor);
}

function changeVendor(state: StateStore, change: (vendor: SharedVendor) => SharedVendor): Promise<SharedVendor> {
  return state.transact([vendorKey], (documents) => {
    // `as`: only this function writes the document.
    const before = (documents.get(vendorKey) as SharedVendor | undefined) ?? { running: [], most: 0, started: [] };
    const after = change(before);
    return after === before
      ? { result: before }
      : { result: after, writes: new Map<string, Json>([[vendorKey, after]]) };
  });
}

function vendorOver(state: StateStore): RemoteProvider {
  return {
    kind: 'remote',
    facts: { id: 'heygen', degraded: false },
    maxConcurrent: vendorLimit,
    timeoutMs: 60_000,
    requestLifetimeMs: 60_000,
    quote: () => 2 * vendorPriceMicros,
    prepareRequest: async (_, { idempotencyKey }) => ({ idempotencyKey, state: {} }),
    async start({ idempotencyKey: id }) {
      await changeVendor(state, (vendor) => {
        if (vendor.started.includes(id)) return vendor;
        const running = [...vendor.running, id];
        return { running, most: Math.max(vendor.most, running.length), started: [...vendor.started, id] };
      });
      return { id, state: { doneAtMs: Date.now() + 30 } };
    },
    async check(operation) {
      if (Date.now() < Number(operation.state['doneAtMs'])) return { status: 'pending', checkAgainInMs: 15 };
      await changeVendor(state, (vendor) => ({
        ...vendor,
        running: vendor.running.filter((id) => id !== operation.id),
      }));
      return { status: 'done', operation, costMicros: vendorPriceMicros };
    },
    collect: async () => ({ path: 'take.mp4', warnings: [] }),
    find: async () => null,
    cancel: async () => 0,
  };
}

/**
 * Runs the jobs of a child process to their end, resuming what an earlier process left. With `capped` after the number of
 * the child, they are the jobs of a batch with a cap.
 */
export async function serveAdmissionJobs(
  state: StateStore,
  [child, mode]: readonly (string | undefined)[],
): Promise<void> {
  const admission = createTestAdmission({ state, clock, slotPollIntervalMs: 30 });
  const payer = { user: null, ...(mode === 'capped' && { batch: cappedBatch }) };
  await Promise.all(jobsOfChild(Number(child)).map((jobId) => takeToItsEnd(state, admission, { jobId, payer })));
}

async function takeToItsEnd(
  state: StateStore,
  admission: Admission,
  { jobId, payer }: { readonly jobId: string; readonly payer: Payer },
): Promise<void> {
  const key = `job/${jobId}`;
  for (;;) {
    // `as` in both: only this function writes these documents.
    const earlierAttempts = await state.transact([key], (documents) => ({
      result: (documents.get(key) ?? []) as unknown as readonly Attempt[],
    }));
    if (earlierAttempts.at(-1)?.outcome === 'succeeded') return;
    try {
      const outcome = await runChain([vendorOver(state)], async () => ({ jobId }) as TakeRequest, {
        jobId,
        payer,
        maxCostMicros: null,
        clock,
        admission,
        earlierAttempts,
        canRun: () => true,
        signal: new AbortController().signal,
        onProgress: () => undefined,
        saveAttempts: (attempts) =>
          state.transact([key], () => ({ result: undefined, writes: new Map([[key, attempts as unknown as Json]]) })),
      });
      if (outcome.type === 'waiting') await delay(Math.max(0, outcome.untilMs - Date.now()));
    } catch (error) {
      if (LipsyncError.isInstance(error) && error.code === 'budget_exceeded') return;
      // Like a queue, the loop runs the job again.
      if (!(error instanceof StoreFailure)) throw error;
    }
  }
}
