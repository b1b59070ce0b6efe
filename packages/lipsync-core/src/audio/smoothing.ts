/** Smooths with a Gaussian of `sigmaSteps` (in steps) that looks both ways, so that nothing is delayed. Edges repeat. */
export function smooth(values: Float32Array, sigmaSteps: number): Float32Array {
  const reach = Math.ceil(3 * sigmaSteps);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - reach) / sigmaSteps) ** 2),
  );
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  const last = values.length - 1;
  return values.map((_, step) => {
    let result = 0;
    for (let i = -reach; i <= reach; i++) {
      result += (kernel[i + reach] ?? 0) * (values[Math.max(0, Math.min(last, step + i))] ?? 0);
    }
    return result / sum;
  });
}

/**
 * The largest curve below `values` that rises by at most `rise` and falls by at most `fall` per step. Being an
 * envelope from below, it keeps every closure and moves away from and towards it in time.
 */
export function limitSpeed(values: Float32Array, rise: number, fall: number): Float32Array {
  const limited = Float32Array.from(values);
  for (let i = 1; i < limited.length; i++) limited[i] = Math.min(limited[i] ?? 0, (limited[i - 1] ?? 0) + rise);
  for (let i = limited.length - 2; i >= 0; i--) limited[i] = Math.min(limited[i] ?? 0, (limited[i + 1] ?? 0) + fall);
  return limited;
}

/** Largest value within ±`reach` steps of each step. */
export function largestNearby(values: Float32Array, reach: number): Float32Array {
  return values.map((_, step) => {
    let largest = Number.NEGATIVE_INFINITY;
    const end = Math.min(values.length - 1, step + reach);
    for (let i = Math.max(0, step - reach); i <= end; i++) largest = Math.max(largest, values[i] ?? 0);
    return largest;
  });
}

/** Value below which the given share (0–1) of `values` lies; `undefined` when there are none. */
export function percentile(values: Float32Array, share: number): number | undefined {
  const sorted = values.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export function clamp(value: number, lowest: number, highest: number): number {
  return Math.max(lowest, Math.min(highest, value));
}
