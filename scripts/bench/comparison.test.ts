import { expect, it } from 'vitest';
import { compareFigures, comparisonToMarkdown } from './comparison.ts';

const run = (seconds: number) => ({ wallSeconds: seconds, processorSeconds: 2 * seconds, peakMemoryMib: 100 });

it('A comparison of revisions takes ratios within each pair and states their median and spread.', () => {
  const figures = [
    { before: run(10), after: run(11) },
    // A slow moment of the machine slows both runs of a pair.
    { before: run(20), after: run(21) },
    { before: run(10), after: run(9) },
  ];
  const { quantities } = compareFigures({ engine: 'preview', sides: ['abc', 'working tree'], figures });
  expect(quantities.processorSeconds).toEqual({
    before: 20,
    after: 22,
    ratio: 1.05,
    smallestRatio: 0.9,
    largestRatio: 1.1,
  });
  expect(quantities.peakMemoryMib.ratio).toBe(1);
});

it('A comparison of an even number of pairs uses the mean of the two middle values.', () => {
  const figures = [
    { before: run(10), after: run(10) },
    { before: run(10), after: run(12) },
  ];
  expect(
    compareFigures({ engine: 'preview', sides: ['abc', 'working tree'], figures }).quantities.wallSeconds.ratio,
  ).toBeCloseTo(1.1);
});

it('The table of a comparison has one row for each quantity.', () => {
  const text = comparisonToMarkdown(
    compareFigures({
      engine: 'wav2lip',
      sides: ['abc', 'working tree'],
      figures: [{ before: run(10), after: run(11) }],
    }),
  );
  expect(text).toContain('| CPU time, s | 20.00 | 22.00 | 1.100 | 1.100 to 1.100 |');
});
