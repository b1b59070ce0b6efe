import { beforeEach, describe, expect, it } from 'vitest';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import type { Admission } from './admission.ts';
import { runChain, type ChainOutcome } from './chain.ts';
import type { InlineProvider, TakeRequest } from './provider.ts';
import type { Attempt } from './attempt.ts';
import { createTestAdmission } from '../testing/test-admission.ts';

const clock = { nowMs: () => Date.UTC(2026, 10, 21) };
const crowd = Array.from({ length: 20 }, (_, index) => `job_${index}`);

const local: InlineProvider = {
  kind: 'inline',
  facts: { id: 'wav2lip', degraded: false },
  run: async () => ({ path: 'take.mp4', warnings: [], costMicros: 0 }),
};

let vendor: ScriptedVendor;
let breaker: CircuitBreaker;
let admission: Admission;
/** Number of calls of `onSlotReleased`. */
let releasedSlots: number;
let saved: Map<string, readonly Attempt[]>;

beforeEach(() => {
  const state = createMemoryState().open();
  vendor = new ScriptedVendor();
  breaker = new CircuitBreaker({ state, clock });
  releasedSlots = 0;
  saved = new Map();
  admission = createTestAdmission({
    state,
    clock,
    breaker,
    slotPollIntervalMs: 1,
    onSlotReleased: () => (releasedSlots += 1),
  });
});

function run(jobId: string): Promise<ChainOutcome> {
  // `as`: the fakes read only the job id.
  return runChain([vendor, local], async () => ({ jobId }) as TakeRequest, {
    jobId,
    payer: { user: null },
    maxCostMicros: null,
    admission,
    clock,
    canRun: () => true,
    signal: new AbortController().signal,
    earlierAttempts: saved.get(jobId) ?? [],
    onProgress: () => undefined,
    saveAttempts: async (attempts) => void saved.set(jobId, attempts),
  });
}

describe('untried provider', () => {
  it('A rejected key costs one call in all; waiting jobs continue with the next provider.', async () => {
    vendor.starts = crowd.map(() => 'credentials_rejected');
    for (let waiting = crowd; waiting.length > 0;) {
      const outcomes = await Promise.all(waiting.map(async (jobId) => ({ jobId, ...(await run(jobId)) })));
      waiting = outcomes.filter(({ type }) => type === 'waiting').map(({ jobId }) => jobId);
    }
    expect(vendor.started).toHaveLength(1);
    expect([...saved.values()].map((attempts) => attempts.at(-1))).toEqual(
      crowd.map(() => expect.objectContaining({ provider: 'wav2lip', outcome: 'succeeded' })),
    );
    const count = (code: string): number => [...saved.values()].filter(([first]) => first?.code === code).length;
    expect([count('credentials_rejected'), count('provider_unavailable')]).toEqual([1, crowd.length - 1]);
  });

  it('Waiting jobs are admitted as soon as the provider has accepted the first job.', async () => {
    vendor.checks = crowd.map(() => 'pending');
    const first = await Promise.all(crowd.map(run));
    expect([first.filter(({ type }) => type === 'waiting').length, vendor.started.length, releasedSlots]).toEqual([
      crowd.length,
      1,
      vendor.maxConcurrent - 1,
    ]);
    await Promise.all(crowd.map(run));
    expect(vendor.started).toHaveLength(vendor.maxConcurrent);
  });

  it('If the first job ends without a verdict, the next job alone tries the provider.', async () => {
    vendor.starts = ['not_supported'];
    await run('job_0');
    expect(await breaker.isUntried('heygen')).toBe(true);
    vendor.checks = ['pending'];
    await Promise.all(['job_1', 'job_2'].map(run));
    expect(vendor.started).toEqual(['job_0-0', 'job_1-0']);
  });
});
