/** Small numeric helpers of the renderer's inner loops. */

/** The value at `index`, 0 outside the array; exists because typed arrays type their elements as possibly missing. */
export function at(values: Float32Array | Float64Array | Uint8Array, index: number): number {
  return values[index] ?? 0;
}

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

export function mix(from: number, to: number, share: number): number {
  return from + (to - from) * share;
}

/** 0 at `from`, 1 at `to`, with level ends; the two may be in either order. */
export function smoothStep(from: number, to: number, value: number): number {
  const share = clamp((value - from) / (to - from), 0, 1);
  return share * share * (3 - 2 * share);
}

/** Middle value; the lower of the two middle ones for an even count. Reorders its argument. 0 for no values. */
export function medianInPlace(values: number[]): number {
  values.sort((left, right) => left - right);
  return values[(values.length - 1) >> 1] ?? 0;
}
