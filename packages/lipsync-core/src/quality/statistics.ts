const resamplings = 200;
/** Share of the resampled values below the interval, and above it. */
const tail = 0.05;

/** Median, the mean of the two middle values of an even count; NaN of no values. */
export function medianOf(values: Iterable<number>): number {
  const sorted = [...values].toSorted((first, second) => first - second);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/**
 * Measures 200 random selections of `items`, as many as there are and with repetition (bootstrap). The selections are the
 * same in every run.
 */
export function resample<Item, Value>(items: readonly Item[], measure: (chosen: readonly Item[]) => Value): Value[] {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: resamplings }, () =>
    measure(items.map((item) => items[Math.floor(random() * items.length)] ?? item)),
  );
}

/** Ends of the central 90 % of values; NaN of no values. */
export function centralInterval(values: readonly number[]): readonly [low: number, high: number] {
  const sorted = values.toSorted((first, second) => first - second);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return [at(tail), at(1 - tail)];
}
