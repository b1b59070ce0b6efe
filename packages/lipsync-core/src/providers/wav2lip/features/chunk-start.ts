import type { FrameRate } from '../../../media/media-types.ts';
import { melColumnsPerSecond } from '../../../audio/mel-spectrogram.ts';

const perSecond = BigInt(melColumnsPerSecond);
const msPerSecond = 1000n;

/**
 * The first mel column that output frame `frame` is made from: floor(80 · (frame / rate + windowStartMs / 1000)), in
 * whole numbers, so that no rate and no length rounds it the wrong way. Negative before the speech begins.
 *
 * @param windowStartMs where the window starts relative to its frame, a whole number of milliseconds
 */
export function chunkStartColumn(frame: number, { numerator, denominator }: FrameRate, windowStartMs: number): number {
  const rate = BigInt(numerator);
  const dividend = perSecond * (msPerSecond * BigInt(frame) * BigInt(denominator) + BigInt(windowStartMs) * rate);
  return Number(floorDivide(dividend, msPerSecond * rate));
}

/** BigInt division rounds towards zero. */
function floorDivide(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  return dividend % divisor < 0n ? quotient - 1n : quotient;
}
