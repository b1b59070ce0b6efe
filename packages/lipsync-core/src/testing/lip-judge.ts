/**
 * Loudness of what is heard while each output frame is shown: root mean square of the samples in
 * [i / frameRate, (i + 1) / frameRate), 0 beyond their end. `frameRate` in frames per second.
 */
export function energyPerFrame(
  samples: Float32Array,
  sampleRateHz: number,
  frameRate: number,
  frameCount: number,
): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) => {
    const start = Math.round((frame * sampleRateHz) / frameRate);
    const end = Math.round(((frame + 1) * sampleRateHz) / frameRate);
    const part = samples.subarray(start, end);
    const power = part.reduce((sum, sample) => sum + sample * sample, 0);
    return part.length === 0 ? 0 : Math.sqrt(power / part.length);
  });
}

/** Pearson's correlation of two series of equal length; 0 when one of them does not vary. */
export function correlation(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`Cannot correlate ${a.length} values with ${b.length}.`);
  const meanA = a.reduce((sum, value) => sum + value, 0) / a.length;
  const meanB = b.reduce((sum, value) => sum + value, 0) / b.length;
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  a.forEach((value, i) => {
    const fromMeanA = value - meanA;
    const fromMeanB = (b[i] ?? 0) - meanB;
    product += fromMeanA * fromMeanB;
    squareA += fromMeanA ** 2;
    squareB += fromMeanB ** 2;
  });
  return squareA === 0 || squareB === 0 ? 0 : product / Math.sqrt(squareA * squareB);
}

/**
 * The shift of `b` against `a`, within ±`maxLag` steps, at which they correlate best. A positive lag means that `b`
 * comes later than `a`: b[i + lag] goes with a[i].
 */
export function bestLag(
  a: Float32Array,
  b: Float32Array,
  maxLag: number,
): { readonly lag: number; readonly r: number } {
  let best = { lag: 0, r: Number.NEGATIVE_INFINITY };
  for (let lag = -maxLag; lag <= maxLag; lag++) {
    const start = Math.max(0, -lag);
    const end = Math.min(a.length, b.length - lag);
    const r = end - start < 2 ? 0 : correlation(a.subarray(start, end), b.subarray(start + lag, end + lag));
    if (r > best.r) best = { lag, r };
  }
  return best;
}
