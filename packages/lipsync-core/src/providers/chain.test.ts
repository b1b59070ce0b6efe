import { testAttempt } from '../testing/test-records.ts';
import { describe, expect, it } from 'vitest';
import type { ProviderId } from '../contract/index.ts';
import { LipsyncError, ProviderError, type ErrorCode } from '../errors/index.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import { openAdmission } from '../testing/open-admission.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { abandonChain, runChain, type ChainOutcome } from './chain.ts';
import type { ChainContext } from './attempt-runner.ts';
import type { InlineProvider, Provider, Take, TakeRequest } from './provider.ts';
import type { Attempt } from './attempt.ts';

const take: Take = { path: 'take.mp4', warnings: [], costMicros: 7 };
// The fakes read only the job id.
const request = { jobId: 'job_1' } as TakeRequest;

function facts(id: ProviderId) {
  return { id, degraded: false };
}

function inline(id: ProviderId, results: readonly (Take | ErrorCode)[]): InlineProvider & { calls: number } {
  const provider = {
    kind: 'inline' as const,
    facts: facts(id),
    calls: 0,
    async run() {
      const result = results[Math.min(provider.calls, results.length - 1)];
      provider.calls += 1;
      if (result === undefined || typeof result === 'string') throw new LipsyncError(result ?? 'internal', 'scripted');
      return result;
    },
  };
  return provider;
}

function makeContext(earlierAttempts: readonly Attempt[] = [], signal = new AbortController().signal) {
  const saved: (readonly Attempt[])[] = [];
  const context: ChainContext = {
    jobId: 'job_1',
    payer: { user: null },
    maxCostMicros: null,
    admission: openAdmission,
    canRun: () => true,
    signal,
    earlierAttempts,
    clock: { nowMs: () => 1 },
    onProgress: () => undefined,
    saveAttempts: async (attempts) => void saved.push(attempts),
  };
  return { context, saved };
}

function attempt(provider: ProviderId, change: Partial<Attempt>): Attempt {
  return testAttempt({
    provider,
    startedAtMs: 0,
    ...change,
  });
}

/** Runs a chain that makes a take. */
async function made(
  chain: readonly Provider[],
  context: ChainContext,
): Promise<Extract<ChainOutcome, { type: 'made' }>> {
  const outcome = await runChain(chain, async () => request, context);
  if (outcome.type !== 'made') throw new Error(`The chain made nothing but is ${outcome.type}.`);
  return outcome;
}

describe('runChain', () => {
  it('After a definite failure, the chain continues with the next provider and keeps the error of the first.', async () => {
    const { context } = makeContext();
    const outcome = await made([inline('wav2lip', ['model_missing']), inline('preview', [take])], context);
    expect(outcome.provider.facts.id).toBe('preview');
    expect(
      outcome.attempts.map(({ provider, outcome, code, costMicros }) => ({ provider, outcome, code, costMicros })),
    ).toEqual([
      { provider: 'wav2lip', outcome: 'failed', code: 'model_missing', costMicros: 0 },
      { provider: 'preview', outcome: 'succeeded', code: null, costMicros: 7 },
    ]);
  });

  it('An inline provider is tried twice after media_failed and three times while it is unavailable.', async () => {
    const flaky = inline('preview', ['media_failed', take]);
    await made([flaky], makeContext().context);
    expect(flaky.calls).toBe(2);
    const gone = inline('preview', ['provider_unavailable']);
    await expect(made([gone], makeContext().context)).rejects.toBeInstanceOf(ProviderError);
    expect(gone.calls).toBe(3);
  });

  it('An unusable input ends the job without trying another provider.', async () => {
    const next = inline('preview', [take]);
    await expect(made([inline('wav2lip', ['clip_unusable']), next], makeContext().context)).rejects.toMatchObject({
      code: 'clip_unusable',
    });
    expect(next.calls).toBe(0);
  });

  it('A job without another provider waits for the probe of a circuit breaker while its limit allows it.', async () => {
    const error = new LipsyncError('provider_unavailable', 'The circuit breaker is open.');
    const last = new ScriptedVendor();
    const run = (retryAtMs: number | null, chain: readonly Provider[], change: Partial<ChainContext>) =>
      runChain(chain, async () => request, {
        ...makeContext().context,
        admission: {
          ...openAdmission,
          admit: async ({ facts: { id } }) =>
            id === last.facts.id ? { type: 'rejected', error, retryAtMs } : { type: 'admitted' },
        },
        ...change,
      });
    const waiting = { type: 'waiting', untilMs: 50, waitsForProbe: true };
    await expect(run(50, [last], { latestProbeMs: 50 })).resolves.toEqual(waiting);
    await expect(run(50, [last], { latestProbeMs: 49 })).rejects.toBe(error);
    await expect(run(50, [last], {})).rejects.toBe(error);
    await expect(run(null, [last], { latestProbeMs: 50 })).rejects.toBe(error);
    const next = inline('preview', [take]);
    await expect(run(50, [last, next], { latestProbeMs: 50 })).resolves.toMatchObject({ type: 'made' });
    const rejected = attempt('preview', {
      outcome: 'failed',
      code: 'quality_rejected',
      take: { degraded: false, durationMs: 1_000, warnings: [] },
    });
    const change = { latestProbeMs: 50, earlierAttempts: [rejected] };
    await expect(run(50, [next, last], change)).rejects.toBe(error);
  });

  it('A crashed worker does not count as a try of an inline provider.', async () => {
    const crashed = Array.from({ length: 4 }, () => attempt('preview', { outcome: 'failed', code: 'worker_crashed' }));
    const outcome = await made([inline('preview', [take])], makeContext([...crashed, attempt('preview', {})]).context);
    expect(outcome.attempts.map(({ outcome }) => outcome)).toEqual([
      'failed',
      'failed',
      'failed',
      'failed',
      'failed',
      'succeeded',
    ]);
  });

  it('A later run does not return to a provider whose tries an earlier run used up.', async () => {
    const given = inline('wav2lip', [take]);
    const earlier = [attempt('wav2lip', { outcome: 'failed', code: 'model_missing' }), attempt('preview', {})];
    await made([given, inline('preview', [take])], makeContext(earlier).context);
    expect(given.calls).toBe(0);
  });

  it('A later run does not pay a provider again when the provider that followed it is no longer configured.', async () => {
    const paid = inline('wav2lip', [take]);
    const rejected = attempt('wav2lip', { outcome: 'failed', code: 'quality_rejected', costMicros: 7 });
    const { context } = makeContext([rejected, attempt('heygen', { outcome: 'failed', code: 'provider_failed' })]);
    await made([paid, inline('preview', [take])], context);
    expect(paid.calls).toBe(0);
  });

  it('An abort between two tries ends the chain with its reason and starts no further try.', async () => {
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

  it.each([
    ['a take', take],
    ['a failure', 'model_missing' as const],
  ])('blames no provider when %s cannot be saved', async (_, result) => {
    const { context, saved } = makeContext();
    const failure = new StoreFailure(new Error('away'));
    const running = made([inline('wav2lip', [result]), inline('preview', [take])], {
      ...context,
      saveAttempts: async (attempts) =>
        attempts[0]?.outcome === 'running' ? context.saveAttempts(attempts) : Promise.reject(failure),
    });
    await expect(running).rejects.toBe(failure);
    expect(saved).toHaveLength(1);
  });

  it('Local work is charged by its time, also when it fails.', async () => {
    const time = { nowMs: 0 };
    const working = (id: ProviderId, result: Take | ErrorCode): InlineProvider => {
      const { run, ...rest } = inline(id, [result]);
      return {
        ...rest,
        run(...given) {
          time.nowMs += 36_000;
          return run(...given);
        },
      };
    };
    const { context } = makeContext();
    const outcome = await made([working('wav2lip', 'model_missing'), working('preview', take)], {
      ...context,
      clock: { nowMs: () => time.nowMs },
      localPrice: { microsPerHour: 2_000_000, quote: async () => 0 },
    });
    expect(outcome.attempts.map(({ costMicros }) => costMicros)).toEqual([20_000, 20_007]);
    expect(outcome.take.costMicros).toBe(20_007);
  });

  it('A resumed run ends with the last error that the interrupted run saved.', async () => {
    const next = inline('preview', [take]);
    const refused = attempt('wav2lip', { outcome: 'failed', code: 'clip_unusable', message: 'No face.' });
    await expect(made([inline('wav2lip', [take]), next], makeContext([refused]).context)).rejects.toMatchObject({
      code: 'clip_unusable',
      message: 'No face.',
    });
    const missing = attempt('wav2lip', { outcome: 'failed', code: 'model_missing', message: 'No model.' });
    await expect(made([inline('wav2lip', [take])], makeContext([missing]).context)).rejects.toMatchObject({
      code: 'model_missing',
      message: 'No model.',
    });
    expect(next.calls).toBe(0);
  });

  it('The chain stops before a provider kind that this host does not run, with earlier attempts saved.', async () => {
    const { context, saved } = makeContext();
    const next = inline('preview', [take]);
    let taken = 0;
    const outcome = await runChain([inline('wav2lip', ['model_missing']), next], async () => request, {
      ...context,
      canRun: () => (taken += 1) === 1,
    });
    expect(outcome).toEqual({ type: 'elsewhere', needs: 'inline' });
    expect([next.calls, saved.at(-1)?.map(({ outcome: ended }) => ended)]).toEqual([0, ['failed']]);
  });

  it('Abandoning a canceled job ends the attempt of a crashed worker.', async () => {
    const { context, saved } = makeContext([attempt('preview', {})]);
    await abandonChain([inline('preview', [take])], new LipsyncError('canceled', 'enough'), context);
    expect(saved.at(-1)).toMatchObject([{ outcome: 'failed', code: 'worker_crashed', endedAtMs: 1 }]);
  });
});

describe('Paths of takes', () => {
  it('Each attempt gets a request of its own, so that its take does not replace an earlier one.', async () => {
    const indexes: number[] = [];
    const provider = inline('wav2lip', ['media_failed', take]);
    const prepare = async (attemptIndex: number): Promise<TakeRequest> => {
      indexes.push(attemptIndex);
      return { ...request, takePath: `take-${attemptIndex}.mp4` };
    };
    const failed = attempt('heygen', { outcome: 'failed', code: 'provider_failed', endedAtMs: 1 });
    await runChain([provider], prepare, makeContext([failed]).context);
    expect(indexes).toEqual([1, 2]);
  });
});
