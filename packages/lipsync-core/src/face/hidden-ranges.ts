import { AppearanceReference } from './appearance-reference.ts';
import { appearanceFractions } from './face-appearance.ts';
import type { HiddenRange, HiddenReason } from './face-types.ts';
import type { ObservationStore, StoredObservation } from './observation-store.ts';

/** A reason holds from the value 1 until it falls below this. */
const leaveValue = 0.8;
/** Shorter ranges are drawn over: a mouth that jumps to the original for a moment would flicker. */
const shortestSeconds = 0.16;
/** Ranges that are closer than this are joined. Landmarks slip off a profile and a cover without color for longer. */
const longestBreakSeconds = { usual: 0.4, slipping: 1 } as const;

/**
 * Mean deviations of lips and chin from their usual look at which they count as covered. Uncovered mouths stay below
 * 80 % of them. What the forehead deviates by more than the usual is light or pose, and is subtracted.
 */
const coveredAt = { lips: 2.15, chin: 2.35, usualForehead: 1.2 } as const;
/**
 * A cover comes or goes within this time, from `uncovered` to 1. A slow change is light, or a scene that dissolves into
 * another. A range that reaches the start or end of the shot is ambiguous when it has a larger share of the shot.
 */
const coverEdge = { seconds: 0.2, uncovered: 0.6, largestOpenShare: 0.25 } as const;
const overexposedFraction = 0.6;
/** No uncovered mouth of the measured clips has lips without color. */
const colorlessFraction = 0.7;
/** Sharpness of the upper face at which it counts as blurred, and below which a deviation is blur and not a cover. */
const blurredSharpness = { always: 0.35, withDeviation: 0.6 } as const;
/** Turn of a head that counts as turned away: about 55° to a side. Beyond it, half of the mouth is not seen. */
const turnedAway = 1.4;
const smallestMouthPx = 7;

export interface HiddenMouthOptions {
  readonly store: ObservationStore;
  readonly framesPerSecond: number;
  /** First frame of the shot. */
  readonly shotStart: number;
}

export interface HiddenSection {
  /** First frame to decide, and the frame after the last one. */
  readonly from: number;
  readonly until: number;
  /** The frames that may be compared: from the shot's start or some frames before `from` to the last observed one. */
  readonly window: FrameRange;
  /** The observations of the selected faces in the window. */
  readonly observations: readonly StoredObservation[];
}

/**
 * Finds the frames of a shot in which the mouth of the tracked face cannot be seen well, by comparing each observation
 * with the usual look of its face in the shot so far. Frames are decided in sections, in order.
 */
export class HiddenMouths {
  readonly #options: HiddenMouthOptions;
  readonly #looks = new Map<number, UsualLook>();
  /** The ratings that hide the mouth in the last decided frame. */
  #hiding: ReadonlySet<Rating> = new Set();
  #ranges: readonly HiddenRange[] = [];

  constructor(options: HiddenMouthOptions) {
    this.#options = options;
  }

  /** The ranges of the decided frames, in order. */
  get ranges(): readonly HiddenRange[] {
    return this.#ranges;
  }

  decide({ from, until, window, observations }: HiddenSection): void {
    const references = this.#learn(observations);
    const { store } = this.#options;
    const hiding = new Set<Rating>();
    const found: HiddenRange[] = [];
    for (const [rating, series] of rateWindow(window, observations, (seen) => rateMouth(seen, references, store))) {
      for (const range of findRanges(series, this.#limitsOf(rating, from, window))) {
        const start = Math.max(from, window.start + range.start);
        const end = Math.min(until, window.start + range.end);
        if (start >= end) continue;
        if (end === until) hiding.add(rating);
        found.push({ start, end, reason: rating === 'colorless' ? 'covered' : rating });
      }
    }
    this.#hiding = hiding;
    this.#ranges = joinOverlaps([...this.#ranges, ...found.sort((first, second) => first.start - second.start)]);
  }

  #limitsOf(rating: Rating, from: number, window: FrameRange): RangeLimits {
    const { framesPerSecond, shotStart } = this.#options;
    const shotFrames = window.end - shotStart;
    const breakSeconds = slippingRatings.has(rating) ? longestBreakSeconds.slipping : longestBreakSeconds.usual;
    return {
      shortest: Math.min(shotFrames, Math.max(2, Math.round(shortestSeconds * framesPerSecond))),
      longestBreak: Math.round(breakSeconds * framesPerSecond),
      shotFrames,
      ...(rating === 'covered' ? { edgeFrames: Math.round(coverEdge.seconds * framesPerSecond) } : {}),
      ...(this.#hiding.has(rating) ? { continued: from - 1 - window.start } : {}),
    };
  }

  /** Adds the observations that are new, and returns the usual looks of the faces whose mouth was seen often enough. */
  #learn(observations: readonly StoredObservation[]): References {
    for (const observation of observations) {
      const { identity, frame } = observation;
      const look = this.#looks.get(identity) ?? { reference: new AppearanceReference(), learnedTo: -1 };
      this.#looks.set(identity, look);
      if (frame <= look.learnedTo) continue;
      look.learnedTo = frame;
      const appearance = this.#options.store.readAppearance(observation);
      if (fractionAt(appearance, appearanceFractions.colorlessLips) < colorlessFraction) look.reference.add(appearance);
    }
    const known = [...this.#looks].filter(([, { reference }]) => reference.finish());
    return new Map(known.map(([identity, { reference }]) => [identity, reference]));
  }
}

interface UsualLook {
  readonly reference: AppearanceReference;
  /** The last frame whose look the reference has. */
  learnedTo: number;
}

/** `colorless` is a cover that is recognized without a comparison. */
type Rating = HiddenReason | 'colorless';

const slippingRatings: ReadonlySet<Rating> = new Set(['colorless', 'turned_away']);

/** Joins ranges with the same reason that overlap or touch. `ranges` are in order of their start. */
function joinOverlaps(ranges: readonly HiddenRange[]): readonly HiddenRange[] {
  const joined: HiddenRange[] = [];
  for (const range of ranges) {
    const index = joined.findLastIndex(({ reason }) => reason === range.reason);
    const last = joined[index];
    if (last && range.start <= last.end) joined[index] = { ...last, end: Math.max(last.end, range.end) };
    else joined.push(range);
  }
  return joined;
}

type References = ReadonlyMap<number, AppearanceReference>;

/** The values of each rating in the frames of a window; NaN without an observation. */
function rateWindow(
  { start, end }: FrameRange,
  observations: readonly StoredObservation[],
  rate: (observation: StoredObservation) => Iterable<readonly [Rating, number]>,
): ReadonlyMap<Rating, Float32Array> {
  const values = new Map<Rating, Float32Array>();
  for (const observation of observations) {
    for (const [rating, value] of rate(observation)) {
      const known = values.get(rating) ?? new Float32Array(end - start).fill(NaN);
      known[observation.frame - start] = value;
      values.set(rating, known);
    }
  }
  return values;
}

/** Rates every reason: 1 or more where it hides the mouth. */
function* rateMouth(
  observation: StoredObservation,
  references: References,
  store: ObservationStore,
): Generator<readonly [Rating, number]> {
  const appearance = store.readAppearance(observation);
  const overexposed = fractionAt(appearance, appearanceFractions.overexposed) / overexposedFraction;
  yield ['overexposed', overexposed];
  const colorless = fractionAt(appearance, appearanceFractions.colorlessLips) / colorlessFraction;
  yield ['colorless', overexposed >= 1 ? 0 : colorless];
  yield ['turned_away', observation.turn / turnedAway];
  yield ['too_small', smallestMouthPx / Math.max(1, observation.mouthWidthPx)];
  const reference = references.get(observation.identity);
  if (!reference || overexposed >= 1) return;
  const { lips, chin, forehead, sharpness } = reference.compare(appearance);
  const shared = Math.max(0, forehead - coveredAt.usualForehead);
  const deviation = (subtracted: number): number =>
    Math.max((lips - subtracted) / coveredAt.lips, (chin - subtracted) / coveredAt.chin);
  const isBlurred = sharpness < blurredSharpness.withDeviation;
  yield ['covered', isBlurred ? 0 : deviation(shared)];
  yield ['blurred', Math.max(blurredSharpness.always / Math.max(0.01, sharpness), isBlurred ? deviation(0) : 0)];
}

function fractionAt(appearance: Uint8Array, position: number): number {
  return (appearance[position] ?? 0) / 255;
}

interface RangeLimits {
  readonly shortest: number;
  readonly longestBreak: number;
  /** When given, a range counts only if it begins or ends within so many frames. */
  readonly edgeFrames?: number;
  /** Number of frames of the shot so far; that of the series by default. */
  readonly shotFrames?: number;
  /** A frame that is hidden already: its range goes on as long as its values do. */
  readonly continued?: number;
}

interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Ranges in which the median of three neighbors reaches 1, extended on both sides while it stays above `leaveValue`.
 * Frames without a value (NaN) take the one before.
 */
export function findRanges(
  series: Float32Array,
  { shortest, longestBreak, edgeFrames, shotFrames = series.length, continued = -1 }: RangeLimits,
): readonly FrameRange[] {
  const values = medianOfThree(carryForward(series));
  const isContinued = ({ start, end }: FrameRange): boolean => start <= continued && continued < end;
  const ranges: { start: number; end: number; strongFrames: number }[] = [];
  let current: { start: number; end: number; strongFrames: number } | undefined;
  for (const [frame, value] of values.entries()) {
    if (value < leaveValue) {
      current = undefined;
      continue;
    }
    if (!current) {
      current = { start: frame, end: frame, strongFrames: 0 };
      ranges.push(current);
    }
    current.end = frame + 1;
    if (value >= 1) current.strongFrames += 1;
  }
  const strong = ranges.filter((range) => range.strongFrames >= shortest || isContinued(range));
  const joined: { start: number; end: number }[] = [];
  for (const { start, end } of strong) {
    const last = joined.at(-1);
    if (last && start - last.end <= longestBreak) last.end = end;
    else joined.push({ start, end });
  }
  if (edgeFrames === undefined) return joined;
  const longestOpenFrames = shotFrames * coverEdge.largestOpenShare;
  return joined.filter((range) => {
    if (isContinued(range)) return true;
    const isOpen = range.start === 0 || range.end === values.length;
    return !(isOpen && range.end - range.start > longestOpenFrames) && hasEdge(values, range, edgeFrames);
  });
}

/** Whether values rise to 1 at the start of a range, or fall from it at its end, within `edgeFrames`. */
function hasEdge(values: Float32Array, { start, end }: FrameRange, edgeFrames: number): boolean {
  const inside = values.subarray(start, end);
  const first = start + inside.findIndex((value) => value >= 1);
  const last = start + inside.findLastIndex((value) => value >= 1);
  const before = values.subarray(Math.max(0, first - edgeFrames), first);
  const after = values.subarray(last + 1, last + 1 + edgeFrames);
  return [...before, ...after].some((value) => value <= coverEdge.uncovered);
}

function carryForward(series: Float32Array): Float32Array {
  let last = 0;
  return series.map((value) => {
    if (!Number.isNaN(value)) last = value;
    return last;
  });
}

function medianOfThree(values: Float32Array): Float32Array {
  return values.map((value, index) => {
    const before = values[index - 1] ?? value;
    const after = values[index + 1] ?? value;
    return Math.max(Math.min(before, value), Math.min(Math.max(before, value), after));
  });
}
