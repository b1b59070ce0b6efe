import { expect, it } from 'vitest';
import { labelUnchangedLips, withoutHidden } from './unchanged-lips-analyzer.ts';

it('Old lips are a fatal label from a tenth of the compared speech on.', () => {
  const ranges = [{ startMs: 0, endMs: 2_000 }];
  expect(labelUnchangedLips({ ranges, share: 0.09 })).toEqual([]);
  expect(labelUnchangedLips({ ranges, share: 0.1 })).toMatchObject([
    { code: 'lips_unchanged', value: 0.1, fatal: true },
  ]);
  expect(labelUnchangedLips({ ranges: [], share: 0 })).toEqual([]);
});

it('Old lips behind a microphone or a hand are no fault, because the picture of the clip is right there.', () => {
  const [open, hidden] = [
    { startMs: 0, endMs: 1_000 },
    { startMs: 4_000, endMs: 7_000 },
  ];
  const visibleShare = (range: { readonly startMs: number }): number => (range === hidden ? 0.2 : 1);
  expect(withoutHidden({ ranges: [open, hidden], share: 0.4 }, visibleShare)).toEqual({ ranges: [open], share: 0.1 });
  expect(withoutHidden({ ranges: [hidden], share: 0.3 }, visibleShare)).toEqual({ ranges: [], share: 0 });
});
