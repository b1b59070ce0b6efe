import { describe, expect, it } from 'vitest';
import type { ProviderId } from '../contract/index.ts';
import { LipsyncError, ProviderError, type ErrorCode } from '../errors/index.ts';
import type { Attempt } from '../jobs/job-record.ts';
import { StoreFailure } from '../jobs/store-failure.ts';
import { openAdmission } from '../testing/open-admission.ts';
import { runChain, type ChainContext, type ChainOutcome } from './provider-chain.ts';
import type { InlineProvider, Operation, Provider, RemoteProvider, Take, TakeRequest } from './provider.ts';

const take: Take = { path: 'take.mp4', warnings: [], costMicros: 7 };
// The doubles below look at the job's id only.
const request = { jobId: 'job_1' } as TakeRequest;

function facts(id: ProviderId) {
  return { id, degraded: false, licence: null };
}

function inline(id: ProviderId, results: readonly (Take | ErrorCode)[]): InlineProvider & { calls: number } {
  const provider = {
    kind: 'inline' as const, facts: facts(id), calls: 0,
    async run() {
      const result = results[Math.min(provider.calls, results.length - 1)];
      provider.calls += 1;
      if (result === undefined || typeof result === 'string') throw new LipsyncError(result ?? 'internal', 'scripted');
      return result;
    },
  };
  return provider;
}

function remote(id: ProviderId, onCancel: () => void = () => undefined): RemoteProvider & { started: string[] } {
  const started: string[] = [];
  return {
    kind: 'remote', facts: facts(id), started, timeoutMs: 600_000, maxConcurrent: 5, quote: () => 7,
    async start(_request, { idempotencyKey }) {
      started.push(idempotencyKey);
      return { id: `op-${started.length}`, state: { polls: 0 } };
    },
    check: async (operation) => (operation.id === 'op-stuck' ? { status: 'pending', checkAgainInMs: 60_000 } : { status: 'done', operation, costMicros: 7 }),
    collect: async () => take,
    cancel: async () => onCancel(),
  };
}

function makeContext(earlierAttempts: readonly Attempt[] = [], signal = new AbortController().signal) {
  const saved: (readonly Attempt[])[] = [];
  const context: ChainContext = {
    jobId: 'job_1', user: null, maxCostMicros: null, admission: openAdmission, canRun: () => true,
    signal, earlierAttempts, clock: { nowMs: () => 1 }, onProgress: () => undefined,
    saveAttempts: async (attempts) => void saved.push(attempts),
  };
  return { context, saved };
}

function attempt(provider: ProviderId, change: Partial<Attempt>): Attempt {
  return { provider, outcome: 'running', code: null, message: null, startedAtMs: 0, endedAtMs: null, costMicros: null, operation: null, troubles: 0, ...change };
}

/** Runs a chain that is to make a take. */
async function made(chain: readonly Provider[], context: ChainContext): Promise<Extract<ChainOutcome, { kind: 'made' }>> {
  const outcome = await runChain(chain, async () => request, context);
  if (outcome.kind !== 'made') throw new Error(`The chain made nothing but is ${outcome.kind}.`);
  return outcome;
}

describe('the provider chain', () => {
  it('moves on to the next provider and keeps what the first one said', async () => {
    const { context } = makeContext();
    const outcome = await made([inline('wav2lip', ['model_missing']), inline('preview', [take])], context);
    expect(outcome.provider.facts.id).toBe('preview');
    expect(outcome.attempts.map(({ provider, outcome, code, costMicros }) => ({ provider, outcome, code, costMicros }))).toEqual([
      { provider: 'wav2lip', outcome: 'failed', code: 'model_missing', costMicros: null },
      { provider: 'preview', outcome: 'succeeded', code: null, costMicros: 7 },
    ]);
  });

  it('tries a provider again once after a media fault, and three times when it is unavailable', async () => {
    const flaky = inline('preview', ['media_failed', take]);
    await made([flaky], makeContext().context);
    expect(flaky.calls).toBe(2);
    const gone = inline('preview', ['provider_unavailable']);
    await expect(made([gone], makeContext().context)).rejects.toBeInstanceOf(ProviderError);
    expect(gone.calls).toBe(3);
  });

  it('stops at once when the input is at fault', async () => {
    const next = inline('preview', [take]);
    await expect(made([inline('wav2lip', ['clip_unusable']), next], makeContext().context)).rejects.toMatchObject({ code: 'clip_unusable' });
    expect(next.calls).toBe(0);
  });

  it('saves an operation before it waits for it', async () => {
    const { context, saved } = makeContext();
    await made([remote('heygen')], context);
    expect(saved.map((attempts) => [attempts[0]?.outcome, attempts[0]?.operation?.id])).toEqual([
      ['running', undefined], ['running', 'op-1'], ['succeeded', 'op-1'],
    ]);
  });

  it('goes on with the operation of a run that crashed instead of starting another', async () => {
    const operation: Operation = { id: 'op-old', state: {} };
    const vendor = remote('heygen');
    const { context } = makeContext([attempt('heygen', { operation })]);
    const outcome = await made([vendor], context);
    expect(vendor.started).toEqual([]);
    expect(outcome.attempts).toHaveLength(1);
  });

  it('starts again with the same idempotency key when the crash came before the operation was known', async () => {
    const first = remote('heygen');
    await made([first], makeContext().context);
    const second = remote('heygen');
    await made([second], makeContext([attempt('heygen', {})]).context);
    expect(second.started).toEqual(first.started);
  });

  it('does not count a crash of ours as a try of an inline provider', async () => {
    const crashed = Array.from({ length: 4 }, () => attempt('preview', { outcome: 'failed', code: 'worker_crashed' }));
    const outcome = await made([inline('preview', [take])], makeContext([...crashed, attempt('preview', {})]).context);
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'failed', 'failed', 'failed', 'succeeded']);
  });

  it('does not go back to a provider that an earlier run had given up', async () => {
    const given = inline('wav2lip', [take]);
    const earlier = [attempt('wav2lip', { outcome: 'failed', code: 'model_missing' }), attempt('preview', {})];
    await made([given, inline('preview', [take])], makeContext(earlier).context);
    expect(given.calls).toBe(0);
  });

  it('tells a remote provider to stop when the job is canceled while it waits', async () => {
    let canceled = 0;
    const controller = new AbortController();
    const { context } = makeContext([attempt('heygen', { operation: { id: 'op-stuck', state: {} } })], controller.signal);
    const running = made([remote('heygen', () => (canceled += 1))], context);
    controller.abort(new LipsyncError('canceled', 'enough'));
    await expect(running).rejects.toThrow();
    expect(canceled).toBe(1);
  });

  it('leaves a remote operation running when the worker only hands the job back', async () => {
    let canceled = 0;
    const controller = new AbortController();
    const { context, saved } = makeContext([attempt('heygen', { operation: { id: 'op-stuck', state: {} } })], controller.signal);
    const running = made([remote('heygen', () => (canceled += 1))], context);
    controller.abort();
    await expect(running).rejects.toThrow();
    expect([canceled, saved.at(-1)?.[0]?.outcome]).toEqual([0, 'running']);
  });

  it('ends with the reason of the abort when that comes between two tries, and begins no other', async () => {
    const controller = new AbortController();
    const reason = new LipsyncError('deadline_exceeded', 'Too late.');
    const { context, saved } = makeContext([], controller.signal);
    const gone = inline('preview', ['provider_unavailable']);
    const running = made([gone, inline('wav2lip', [take])], {
      ...context,
      async saveAttempts(attempts) {
        await context.saveAttempts(attempts);
        if (attempts[0]?.outcome === 'failed') setImmediate(() => controller.abort(reason));
      },
    });
    await expect(running).rejects.toBe(reason);
    expect(gone.calls).toBe(1);
    expect(saved.at(-1)?.map(({ provider, code }) => [provider, code])).toEqual([['preview', 'provider_unavailable']]);
  });

  it.each([['a take', take], ['a failure', 'model_missing' as const]])('blames no provider when %s cannot be saved', async (_, result) => {
    const { context, saved } = makeContext();
    const failure = new StoreFailure(new Error('away'));
    const running = made([inline('wav2lip', [result]), inline('preview', [take])], {
      ...context,
      saveAttempts: async (attempts) => (attempts[0]?.outcome === 'running' ? context.saveAttempts(attempts) : Promise.reject(failure)),
    });
    await expect(running).rejects.toBe(failure);
    expect(saved).toHaveLength(1);
  });

  it('blames no provider when its operation cannot be saved', async () => {
    const { context, saved } = makeContext();
    const failure = new StoreFailure(new Error('away'));
    const running = made([remote('heygen')], {
      ...context,
      saveAttempts: async (attempts) => (attempts[0]?.operation ? Promise.reject(failure) : context.saveAttempts(attempts)),
    });
    await expect(running).rejects.toBe(failure);
    expect(saved.map((attempts) => attempts[0]?.outcome)).toEqual(['running']);
  });
});
