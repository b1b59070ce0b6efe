/** Resources that one run used, including its child processes. */
export interface RunFigures {
  readonly wallSeconds: number;
  readonly processorSeconds: number;
  readonly peakMemoryMib: number;
}

/** One quantity of two revisions: medians, and the median, smallest and largest ratio of the pairs. */
export interface ComparedQuantity {
  readonly before: number;
  readonly after: number;
  readonly ratio: number;
  readonly smallestRatio: number;
  readonly largestRatio: number;
}

export interface Comparison {
  readonly engine: string;
  readonly sides: readonly [before: string, after: string];
  readonly pairs: number;
  readonly quantities: Readonly<Record<keyof RunFigures, ComparedQuantity>>;
}

export interface PairOfRuns {
  readonly before: RunFigures;
  readonly after: RunFigures;
}

/** Ratios are taken within a pair, because the two runs of a pair have a similar machine load. */
export function compareFigures({
  engine,
  sides,
  figures,
}: {
  readonly engine: string;
  readonly sides: Comparison['sides'];
  readonly figures: readonly PairOfRuns[];
}): Comparison {
  const compare = (name: keyof RunFigures): ComparedQuantity => {
    const ratios = figures.map(({ before, after }) => after[name] / before[name]);
    return {
      before: median(figures.map(({ before }) => before[name])),
      after: median(figures.map(({ after }) => after[name])),
      ratio: median(ratios),
      smallestRatio: Math.min(...ratios),
      largestRatio: Math.max(...ratios),
    };
  };
  return {
    engine,
    sides,
    pairs: figures.length,
    quantities: {
      wallSeconds: compare('wallSeconds'),
      processorSeconds: compare('processorSeconds'),
      peakMemoryMib: compare('peakMemoryMib'),
    },
  };
}

const labels: Readonly<Record<keyof RunFigures, string>> = {
  wallSeconds: 'wall time, s',
  processorSeconds: 'CPU time, s',
  peakMemoryMib: 'peak memory, MiB',
};

export function comparisonToMarkdown({ engine, sides, pairs, quantities }: Comparison): string {
  const rows = (Object.keys(labels) as (keyof RunFigures)[]).map((name) => {
    const { before, after, ratio, smallestRatio, largestRatio } = quantities[name];
    const spread = `${smallestRatio.toFixed(3)} to ${largestRatio.toFixed(3)}`;
    return `| ${labels[name]} | ${before.toFixed(2)} | ${after.toFixed(2)} | ${ratio.toFixed(3)} | ${spread} |`;
  });
  return [
    `\`${engine}\`, ${pairs} pairs, medians:`,
    '',
    `| | ${sides.join(' | ')} | ratio | spread of the pairs |`,
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
