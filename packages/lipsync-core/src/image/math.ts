/**
 * Element `index` of a typed array, or 0 outside it. Satisfies `noUncheckedIndexedAccess` in inner loops; V8 inlines
 * it.
 */
export function at(values: Float32Array | Float64Array | Uint8Array, index: number): number {
  return values[index] ?? 0;
}

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

/** Linear interpolation: `from` at 0, `to` at 1. */
export function mix(from: number, to: number, fraction: number): number {
  return from + (to - from) * fraction;
}

/** Hermite interpolation: 0 at `from`, 1 at `to`, with zero slope at both. `from` may be larger than `to`. */
export function smoothStep(from: number, to: number, value: number): number {
  const t = clamp((value - from) / (to - from), 0, 1);
  return t * t * (3 - 2 * t);
}

/** Lower median, or 0 of no values. Sorts `values` in place. */
export function medianInPlace(values: number[]): number {
  values.sort((left, right) => left - right);
  return values[(values.length - 1) >> 1] ?? 0;
}

/** Rounds to the nearest integer in 0–255. */
export function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}
