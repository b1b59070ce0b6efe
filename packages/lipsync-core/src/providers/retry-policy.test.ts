import { describe, expect, it } from 'vitest';
import { errorCodes, errorPolicies } from '../errors/index.ts';
import { decideRetry, type RetryDecision, type RetryError, type RetryHistory, type RetryStep } from './retry-policy.ts';

const inputDownload: RetryStep = { type: 'input_download' };
const mediaStep: RetryStep = { type: 'media_step' };
const run: RetryStep = { type: 'run' };
const start: RetryStep = { type: 'remote_call', call: 'start' };
const check: RetryStep = { type: 'remote_call', call: 'check' };
const collect: RetryStep = { type: 'remote_call', call: 'collect' };
const inline: RetryStep = { type: 'attempt', kind: 'inline', maxTries: 3 };
const remote: RetryStep = { type: 'attempt', kind: 'remote', maxTries: 3 };

const fail: RetryDecision = { type: 'fail' };
const next: RetryDecision = { type: 'next_provider' };
const park: RetryDecision = { type: 'park' };
const retry = (afterMs: number): RetryDecision => ({ type: 'retry', afterMs });

type Row = readonly [RetryStep, RetryError, RetryHistory, RetryDecision];

const table: readonly Row[] = [
  // Downloads of inputs: three tries of a transient failure.
  [inputDownload, { code: 'fetch_failed' }, { failures: 1 }, retry(2_000)],
  [inputDownload, { code: 'fetch_failed' }, { failures: 2 }, retry(4_000)],
  [inputDownload, { code: 'fetch_failed' }, { failures: 3 }, retry(8_000)],
  [inputDownload, { code: 'fetch_failed' }, { failures: 4 }, fail],
  [inputDownload, { code: 'fetch_timeout' }, { failures: 1 }, fail],
  [inputDownload, { code: 'request_invalid' }, { failures: 1 }, fail],
  [inputDownload, { code: 'payload_too_large' }, { failures: 1 }, fail],
  // Media steps outside of providers: one repetition.
  [mediaStep, { code: 'media_failed' }, { failures: 1 }, retry(0)],
  [mediaStep, { code: 'media_failed' }, { failures: 2 }, fail],
  [mediaStep, { code: 'clip_unusable' }, { failures: 1 }, fail],
  [mediaStep, { code: 'resource_exhausted' }, { failures: 1 }, fail],
  // Crashed runs: five.
  [run, { code: 'worker_crashed' }, { failures: 1 }, retry(0)],
  [run, { code: 'worker_crashed' }, { failures: 4 }, retry(0)],
  [run, { code: 'worker_crashed' }, { failures: 5 }, fail],
  [run, { code: 'internal' }, { failures: 1 }, fail],
  // Rate limits: as long as the vendor asks, at least one second, without a limit of tries.
  [start, { code: 'rate_limited' }, { failures: 1 }, retry(5_000)],
  [start, { code: 'rate_limited', retryAfterMs: 17_000 }, { failures: 99 }, retry(17_000)],
  [check, { code: 'rate_limited', retryAfterMs: 0 }, { failures: 1 }, retry(1_000)],
  [collect, { code: 'rate_limited', retryAfterMs: null }, { failures: 1 }, retry(5_000)],
  // Unavailable vendors: three tries to start; checks and the take that is paid for without a limit of tries.
  [start, { code: 'provider_unavailable' }, { failures: 1 }, retry(500)],
  [start, { code: 'provider_unavailable' }, { failures: 2 }, retry(1_000)],
  [start, { code: 'provider_unavailable' }, { failures: 3 }, next],
  [start, { code: 'provider_unavailable', retryAfterMs: 60_000 }, { failures: 1 }, retry(60_000)],
  [check, { code: 'provider_unavailable' }, { failures: 3 }, retry(2_000)],
  [check, { code: 'provider_unavailable' }, { failures: 30 }, retry(10_000)],
  [collect, { code: 'provider_unavailable' }, { failures: 30 }, retry(10_000)],
  [collect, { code: 'provider_unavailable' }, { failures: 30, remainingMs: 0 }, next],
  [collect, { code: 'media_failed' }, { failures: 1 }, retry(500)],
  [collect, { code: 'media_failed' }, { failures: 2 }, next],
  // A paid take waits until this machine can store it, also beyond the attempt's time limit; other calls do not.
  [collect, { code: 'resource_exhausted' }, { failures: 9 }, park],
  [collect, { code: 'storage_unwritable' }, { failures: 1, remainingMs: -1 }, park],
  [start, { code: 'resource_exhausted' }, { failures: 1 }, next],
  // The attempt's time limit.
  [check, { code: 'rate_limited', retryAfterMs: 3_600_000 }, { failures: 1, remainingMs: 700 }, retry(700)],
  [check, { code: 'provider_unavailable' }, { failures: 1, remainingMs: 0 }, next],
  [start, { code: 'rate_limited' }, { failures: 1, remainingMs: 5_001 }, retry(5_000)],
  [start, { code: 'rate_limited' }, { failures: 1, remainingMs: 5_000 }, next],
  // Definite vendor errors.
  [start, { code: 'credentials_rejected' }, { failures: 1 }, next],
  [start, { code: 'content_refused' }, { failures: 1 }, fail],
  [check, { code: 'provider_protocol' }, { failures: 1 }, next],
  // Whole attempts.
  [inline, { code: 'provider_unavailable' }, { failures: 1 }, retry(500)],
  [inline, { code: 'provider_unavailable' }, { failures: 2 }, retry(1_000)],
  [inline, { code: 'provider_unavailable' }, { failures: 3 }, next],
  [inline, { code: 'rate_limited' }, { failures: 1 }, retry(500)],
  [inline, { code: 'worker_crashed' }, { failures: 1 }, retry(500)],
  [inline, { code: 'media_failed' }, { failures: 1 }, retry(500)],
  [inline, { code: 'media_failed' }, { failures: 2 }, next],
  [inline, { code: 'model_missing' }, { failures: 1 }, next],
  [inline, { code: 'budget_exceeded' }, { failures: 1 }, next],
  [inline, { code: 'quality_rejected' }, { failures: 1 }, next],
  [inline, { code: 'clip_unusable' }, { failures: 1 }, fail],
  [remote, { code: 'provider_unavailable' }, { failures: 1 }, next],
  [remote, { code: 'worker_crashed' }, { failures: 1 }, next],
  [remote, { code: 'quality_rejected' }, { failures: 1 }, next],
  [remote, { code: 'canceled' }, { failures: 1 }, fail],
];

const nameOf = (step: RetryStep): string =>
  step.type === 'remote_call'
    ? `the ${step.call} call`
    : step.type === 'attempt'
      ? `an ${step.kind} attempt`
      : step.type;

describe('decideRetry', () => {
  it.each(
    table.map(([step, error, history, decision]) => ({
      title: `After failure ${history.failures} of ${nameOf(step)} with ${error.code}, the decision is ${decision.type}.`,
      args: [step, error, history] as const,
      decision,
    })),
  )('$title', ({ args, decision }) => {
    expect(decideRetry(...args)).toEqual(decision);
  });

  it('No error is retried without end in an attempt of an inline provider.', () => {
    for (const code of errorCodes) expect(decideRetry(inline, { code }, { failures: 3 }).type).not.toBe('retry');
  });

  it('An error whose policy is `fail` ends the job after every attempt and vendor call, unless a paid take can wait.', () => {
    for (const code of errorCodes.filter((one) => errorPolicies[one].decision === 'fail'))
      for (const step of [start, check, ...(code === 'storage_unwritable' ? [] : [collect]), inline, remote])
        expect(decideRetry(step, { code }, { failures: 1 })).toEqual(fail);
  });
});
