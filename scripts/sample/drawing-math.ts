/** Pure numeric functions for drawing. */

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

export function mix(from: number, to: number, amount: number): number {
  return from + (to - from) * amount;
}

/** Smoothstep: 0 below `low`, 1 above `high`, smooth in between. */
export function smoothStep(low: number, high: number, value: number): number {
  const t = clamp((value - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

/** Gaussian with value 1 at 0 and standard deviation `spread`. */
export function bell(distance: number, spread: number): number {
  const t = distance / spread;
  return Math.exp(-0.5 * t * t);
}

/** Deterministic pseudo-random numbers in [0, 1), so that the same seed draws the same picture on every machine. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

type Point = readonly [x: number, y: number];
export type Bezier = readonly [Point, Point, Point, Point];

function mixPoint(from: Point, to: Point, amount: number): Point {
  return [mix(from[0], to[0], amount), mix(from[1], to[1], amount)];
}

/** Linear interpolation between two Bezier curves. */
export function mixBezier(from: Bezier, to: Bezier, amount: number): Bezier {
  return [
    mixPoint(from[0], to[0], amount),
    mixPoint(from[1], to[1], amount),
    mixPoint(from[2], to[2], amount),
    mixPoint(from[3], to[3], amount),
  ];
}

/** Point at `t` (0–1) on a cubic Bezier curve. */
export function pointOnBezier([a, b, c, d]: Bezier, t: number): Point {
  const ab = mixPoint(a, b, t);
  const bc = mixPoint(b, c, t);
  const cd = mixPoint(c, d, t);
  return mixPoint(mixPoint(ab, bc, t), mixPoint(bc, cd, t), t);
}
