import { framesPerSecond, type FrameRate } from './media-types.ts';

/** Rates to which a variable-rate clip is brought. */
const standardRates: readonly FrameRate[] = [
  { numerator: 24000, denominator: 1001 },
  { numerator: 24, denominator: 1 },
  { numerator: 25, denominator: 1 },
  { numerator: 30000, denominator: 1001 },
  { numerator: 30, denominator: 1 },
  { numerator: 48, denominator: 1 },
  { numerator: 50, denominator: 1 },
  { numerator: 60000, denominator: 1001 },
  { numerator: 60, denominator: 1 },
];

export const stillFrameRate: FrameRate = { numerator: 25, denominator: 1 };

const highestRate = 240;
/** Containers store times rounded to as little as a millisecond. */
const timestampRoundingS = 0.0011;
const steadyShareOfFrame = 0.1;

export interface SettledRate {
  readonly frameRate: FrameRate;
  readonly variable: boolean;
}

/**
 * The constant rate at which to decode a stream. A rate that the container states and the frames' times keep to is
 * kept exactly; otherwise it is the standard rate nearest the average.
 *
 * @param times presentation times of all frames in seconds, ascending
 * @param stated the container's rates, the most trusted first
 */
export function settleFrameRate(times: Float64Array, stated: readonly (FrameRate | undefined)[]): SettledRate {
  const usable = stated.filter((rate) => rate !== undefined).filter((rate) => framesPerSecond(rate) <= highestRate);
  const steady = usable.find((rate) => keepsTo(times, rate));
  if (steady) return { frameRate: standardTwin(steady) ?? steady, variable: false };
  return { frameRate: nearestStandard(averageRate(times)), variable: true };
}

/** Parses ffprobe's `30000/1001`; undefined when it says nothing (`0/0`). */
export function parseFrameRate(text: string): FrameRate | undefined {
  const [numerator, denominator] = text.split('/').map(Number);
  if (!numerator || !denominator || !Number.isFinite(numerator / denominator)) return undefined;
  return { numerator, denominator };
}

/** The standard rate nearest to `rate` frames per second, by ratio. */
export function nearestStandard(rate: number): FrameRate {
  const distance = (candidate: FrameRate): number => Math.abs(Math.log(framesPerSecond(candidate) / rate));
  return standardRates.reduce((best, candidate) => (distance(candidate) < distance(best) ? candidate : best));
}

function keepsTo(times: Float64Array, rate: FrameRate): boolean {
  const frameS = 1 / framesPerSecond(rate);
  const tolerance = steadyShareOfFrame * frameS + timestampRoundingS;
  const first = times[0] ?? 0;
  return times.every((time, index) => Math.abs(time - first - index * frameS) <= tolerance);
}

/** Averages come out as 2997/100 or 359641/12000; the standard rate that they stand for is more exact than they are. */
function standardTwin(rate: FrameRate): FrameRate | undefined {
  const nearest = nearestStandard(framesPerSecond(rate));
  return Math.abs(framesPerSecond(nearest) / framesPerSecond(rate) - 1) < 1e-5 ? nearest : undefined;
}

function averageRate(times: Float64Array): number {
  const spanS = (times.at(-1) ?? 0) - (times[0] ?? 0);
  return spanS > 0 ? (times.length - 1) / spanS : framesPerSecond(stillFrameRate);
}
