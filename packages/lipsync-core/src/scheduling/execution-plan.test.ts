import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { optimizations } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import {
  dependsOnOutlook,
  listProviderIds,
  planExecution,
  type PlannedProvider,
  type PlanOptions,
  type PlanOutlook,
} from './execution-plan.ts';

const known = {
  heygen: { id: 'heygen', kind: 'remote', degraded: false },
  wav2lip: { id: 'wav2lip', kind: 'inline', degraded: false },
  preview: { id: 'preview', kind: 'inline', degraded: true },
} as const;
const providerIds = ['heygen', 'wav2lip', 'preview'] as const;
const all: readonly PlannedProvider[] = providerIds.map((id) => known[id]);
const both = [known.heygen, known.wav2lip];
const auto: PlanOptions = { method: 'auto', optimize: 'quality', allowPreview: false };

function outlook(
  durationMs: number,
  expectedMs: Partial<Record<(typeof providerIds)[number], number>> = {},
): PlanOutlook {
  return {
    durationMs,
    expectedMs: new Map(
      providerIds.flatMap((id) => (expectedMs[id] === undefined ? [] : [[id, expectedMs[id]] as const])),
    ),
  };
}

describe('planExecution', () => {
  it.each([
    ['quality', outlook(10_000), ['heygen', 'wav2lip']],
    ['quality', outlook(90_000, { heygen: 9, wav2lip: 1 }), ['heygen', 'wav2lip']],
    ['cost', outlook(10_000), ['wav2lip', 'heygen']],
    ['balanced', outlook(29_999), ['heygen', 'wav2lip']],
    ['balanced', outlook(30_000), ['wav2lip', 'heygen']],
    ['speed', outlook(10_000, { heygen: 60_000, wav2lip: 24_000 }), ['wav2lip', 'heygen']],
    ['speed', outlook(60_000, { heygen: 60_000, wav2lip: 144_000 }), ['heygen', 'wav2lip']],
    ['speed', outlook(10_000, { heygen: 5_000, wav2lip: 5_000 }), ['heygen', 'wav2lip']],
    ['speed', outlook(10_000, { heygen: Infinity, wav2lip: 24_000 }), ['wav2lip', 'heygen']],
    ['speed', outlook(10_000, { heygen: Infinity, wav2lip: Infinity }), ['heygen', 'wav2lip']],
    ['speed', outlook(10_000), ['heygen', 'wav2lip']],
  ] as const)('With optimize %s and outlook %j, the plan is %j.', (optimize, given, plan) => {
    expect(planIds(both, { ...auto, optimize }, given)).toEqual(plan);
  });

  it.each(optimizations)(
    'With optimize %s, the preview comes last, and only when it is allowed or nothing else is configured.',
    (optimize) => {
      const fastStandIn = outlook(90_000, { heygen: 50, wav2lip: 40, preview: 1 });
      expect(planIds(all, { ...auto, optimize }, fastStandIn)).not.toContain('preview');
      expect(planIds(all, { ...auto, optimize, allowPreview: true }, fastStandIn).at(-1)).toBe('preview');
      expect(planIds([known.preview], { ...auto, optimize }, fastStandIn)).toEqual(['preview']);
    },
  );

  it.each(optimizations)('A requested method is the whole plan, whatever optimize %s prefers.', (optimize) => {
    expect(planIds(all, { ...auto, method: 'heygen', optimize }, outlook(90_000, { wav2lip: 1, heygen: 2 }))).toEqual([
      'heygen',
    ]);
  });

  it('A step states the kind, tries, conditions and cap of its provider.', () => {
    expect(planExecution(both, { ...auto, maxCostUsd: 0.5 })).toEqual([
      { provider: 'heygen', kind: 'remote', maxTries: 3, conditions: ['slot', 'breaker'], costCapUsd: 0.5 },
      { provider: 'wav2lip', kind: 'inline', maxTries: 3, conditions: [], costCapUsd: 0.5 },
    ]);
  });

  it('A method that is not configured is refused, and the message lists the configured ones.', () => {
    expect(() => planIds([known.preview], { ...auto, method: 'heygen' })).toThrow(
      /"heygen" is not configured here; available: preview/,
    );
    expect(() => planIds([], auto)).toThrow('No provider is configured here.');
  });

  it('A plan holds usable providers only, each at most once, and depends on the outlook only if dependsOnOutlook is true.', () => {
    const expected = fc.oneof(fc.constant(Infinity), fc.nat(1_000_000));
    const outlooks = fc
      .record({ durationMs: fc.nat(3_600_000), heygen: expected, wav2lip: expected, preview: expected })
      .map(({ durationMs, ...expectedMs }) => outlook(durationMs, expectedMs));
    const options = fc.record({
      method: fc.constantFrom('auto' as const, ...providerIds),
      optimize: fc.constantFrom(...optimizations),
      allowPreview: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.subarray([...all]), options, outlooks, outlooks, (usable, wishes, one, other) => {
        const plan = planned(usable, wishes, one);
        if (plan === 'not_supported') {
          expect(wishes.method === 'auto' ? usable.length === 0 : !usable.includes(known[wishes.method])).toBe(true);
          return;
        }
        expect(plan.length).toBeGreaterThan(0);
        expect(new Set(plan).size).toBe(plan.length);
        expect(usable.map(({ id }) => id)).toEqual(expect.arrayContaining([...plan]));
        if (!dependsOnOutlook(usable, wishes)) expect(planned(usable, wishes, other)).toEqual(plan);
      }),
    );
  });
});

/** Ids of the planned providers. */
function planIds(...input: Parameters<typeof planExecution>) {
  return listProviderIds(planExecution(...input));
}

function planned(usable: readonly PlannedProvider[], options: PlanOptions, given: PlanOutlook) {
  try {
    return planIds(usable, options, given);
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'not_supported') return error.code;
    throw error;
  }
}
