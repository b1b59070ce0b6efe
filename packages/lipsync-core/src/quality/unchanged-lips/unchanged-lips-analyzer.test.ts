import { expect, it } from 'vitest';
import { labelUnchangedLips } from './unchanged-lips-analyzer.ts';

it('Old lips are a fatal label from a tenth of the compared speech on.', () => {
  const ranges = [{ startMs: 0, endMs: 2_000 }];
  expect(labelUnchangedLips({ ranges, share: 0.09 })).toEqual([]);
  expect(labelUnchangedLips({ ranges, share: 0.1 })).toMatchObject([
    { code: 'lips_unchanged', value: 0.1, fatal: true },
  ]);
  expect(labelUnchangedLips({ ranges: [], share: 0 })).toEqual([]);
});
