import { framesPerSecond, type FrameRate } from '../media-types.ts';

/** Candidate rates for variable-rate clips. */
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
/** Containers round times to a millisecond or finer. */
const timestampRoundingS = 0.0011;
/** Slower clips do not show the movement of a mouth. */
const lowestRate = 20;
const raisedRate: FrameRate = { numerator: 25, denominator: 1 };
const steadyShareOfFrame = 0.1;
/** Share of frames that are shown longer than one frame, in a clip of constant rate with holes. */
const largestGapShare = 0.1;

export interface ChosenRate {
  readonly frameRate: FrameRate;
  readonly variable: boolean;
  /** Frames per second of the stream, if `frameRate` is a higher one. */
  readonly lowFrameRate?: number;
}

/**
 * Chooses the constant rate at which to decode a stream: a rate of the container if the frame times match it, otherwise
 * the standard rate nearest to the average. A low rate is raised to at least 25 frames per second.
 *
 * @param times presentation times of all frames in seconds, ascending
 * @param stated rates of the container, most reliable first
 */
export function chooseFrameRate(times: Float64Array, stated: readonly (FrameRate | undefined)[]): ChosenRate {
  const usable = stated.filter((rate) => rate !== undefined).filter((rate) => framesPerSecond(rate) <= highestRate);
  const steady = usable.find((rate) => matchesTimes(times, rate));
  const rate = steady ? framesPerSecond(steady) : averageRate(times);
  if (rate < lowestRate)
    return { frameRate: steady ? multiplied(steady) : raisedRate, variable: !steady, lowFrameRate: rate };
  if (steady) return { frameRate: findStandardRate(steady) ?? steady, variable: false };
  return { frameRate: nearestStandard(rate), variable: true };
}

/** The smallest multiple of a rate that is high enough, so that each frame is repeated equally often. */
function multiplied({ numerator, denominator }: FrameRate): FrameRate {
  const factor = Math.ceil((framesPerSecond(raisedRate) * denominator) / numerator);
  return { numerator: numerator * factor, denominator };
}

/** Parses a ratio of ffprobe such as `30000/1001`; undefined for `0/0`. */
export function parseFrameRate(text: string): FrameRate | undefined {
  const [numerator, denominator] = text.split('/').map(Number);
  if (!numerator || !denominator || !Number.isFinite(numerator / denominator)) return undefined;
  return { numerator, denominator };
}

/** Returns the standard rate nearest to `rate` frames per second, by ratio. */
export function nearestStandard(rate: number): FrameRate {
  const distance = (candidate: FrameRate): number => Math.abs(Math.log(framesPerSecond(candidate) / rate));
  return standardRates.reduce((best, candidate) => (distance(candidate) < distance(best) ? candidate : best));
}

/** Whether all times are multiples of the frame duration, most of them without a gap. */
function matchesTimes(times: Float64Array, rate: FrameRate): boolean {
  const frameS = 1 / framesPerSecond(rate);
  const tolerance = steadyShareOfFrame * frameS + timestampRoundingS;
  const first = times[0] ?? 0;
  let last = -1;
  let gaps = 0;
  const isOnGrid = times.every((time) => {
    const index = Math.round((time - first) / frameS);
    if (index > last + 1) gaps += 1;
    const isNext = index > last && Math.abs(time - first - index * frameS) <= tolerance;
    last = index;
    return isNext;
  });
  return isOnGrid && gaps <= times.length * largestGapShare;
}

/** Replaces averages such as 2997/100 or 359641/12000 by the standard rate that they approximate. */
function findStandardRate(rate: FrameRate): FrameRate | undefined {
  const nearest = nearestStandard(framesPerSecond(rate));
  return Math.abs(framesPerSecond(nearest) / framesPerSecond(rate) - 1) < 1e-5 ? nearest : undefined;
}

function averageRate(times: Float64Array): number {
  const spanS = (times.at(-1) ?? 0) - (times[0] ?? 0);
  return spanS > 0 ? (times.length - 1) / spanS : framesPerSecond(stillFrameRate);
}
