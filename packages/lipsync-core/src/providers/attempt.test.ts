import { describe, expect, it } from 'vitest';
import { migrateAttempt, type Attempt } from './attempt.ts';

const common = {
  provider: 'heygen',
  outcome: 'running',
  code: null,
  message: null,
  startedAtMs: 1,
  endedAtMs: null,
  costMicros: null,
  operation: null,
  operationAtMs: null,
} as const;

describe('migrateAttempt', () => {
  it('reads an attempt that was stored with `order` and `troubles`', () => {
    expect(
      migrateAttempt({
        ...common,
        order: { idempotencyKey: 'job_1-0', state: { mode: 'speed' }, unansweredSinceMs: 5 },
        troubles: 2,
      }),
    ).toEqual({
      ...common,
      request: { idempotencyKey: 'job_1-0', state: { mode: 'speed' }, unacknowledgedSinceMs: 5 },
      transientFailures: 2,
    });
  });

  it('reads an attempt of the oldest format, which had neither a request nor a failure count', () => {
    expect(migrateAttempt(common)).toEqual({ ...common, transientFailures: 0 });
  });

  it('returns an attempt of the current format unchanged', () => {
    const attempt: Attempt = { ...common, transientFailures: 1 };
    expect(migrateAttempt(attempt)).toBe(attempt);
  });
});
