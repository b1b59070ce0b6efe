import { at, clamp, medianInPlace, mix, smoothStep } from '../../../image/math.ts';
import { planesOf, type Picture, type Plane } from '../../../image/planes.ts';
import { neutralChroma, type Color } from './face-colors.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';

/** What a picture shows at one position. */
export interface LipSample {
  readonly luma: number;
  /** Cr above neutral relative to luma, which is independent of shading. */
  readonly redness: number;
}

/** Samples a picture at a position of the face plane. */
export type LipSampler = (across: number, down: number) => LipSample;

export function rednessOf(luma: number, cr: number): number {
  return (cr - neutralChroma) / Math.max(1, luma);
}

/** Samples the nearest pixel of a whole picture. */
export function lipSampler(picture: Picture, pose: HeadPose): LipSampler {
  const planes = planesOf(picture);
  return (u, v) => {
    const x = Math.round(pose.originX + u * pose.acrossX + v * pose.downX);
    const y = Math.round(pose.originY + u * pose.acrossY + v * pose.downY);
    const luma = nearest(planes.luma, x, y);
    return { luma, redness: rednessOf(luma, nearest(planes.cr, x >> 1, y >> 1)) };
  };
}

function nearest({ data, start, width, height }: Plane, x: number, y: number): number {
  return at(data, start + clamp(y, 0, height - 1) * width + clamp(x, 0, width - 1));
}

/** Samples from the middle of the upper lip to that of the lower one. */
const gapSteps = 24;
/**
 * Luma relative to the lips below which a sample is dark and above which it is teeth, and redness below which it is
 * teeth.
 */
const darkRatio = 0.75;
const brightRatio = 1.3;
const paleRatio = 0.65;

/** Luma relative to the lips from which a sample behind a blurred edge is teeth. */
const teethRatio = 1.1;

/** Whether a color is neither dark nor pale compared with that of the lip. */
export function isLipColored(color: Color, lip: Color): boolean {
  const redness = rednessOf(color.luma, color.cr);
  return color.luma > darkRatio * lip.luma && redness > paleRatio * rednessOf(lip.luma, lip.cr);
}

/** The samples at one position across that differ from the lips, dark or as pale as teeth. */
interface LipGap {
  /** The middles of the lips. */
  readonly top: number;
  readonly bottom: number;
  /** Number of samples that differ. */
  readonly count: number;
  /**
   * Longest run of samples that differ, with short splits and what `joinRuns` adds, as fractions of the way from `top`
   * to `bottom`; both 0 without one.
   */
  readonly from: number;
  readonly to: number;
}

/** A run of samples that differ, `end` inclusive. */
interface Run {
  start: number;
  end: number;
}

function findGap(sample: LipSampler, curves: Readonly<LipCurves>, k: number, blur = 0): LipGap {
  const across = mix(curves.left, curves.right, k / (curveSamples - 1));
  const top = (at(curves.outerUpper, k) + at(curves.innerUpper, k)) / 2;
  const bottom = (at(curves.innerLower, k) + at(curves.outerLower, k)) / 2;
  const upperLip = sample(across, top);
  const lowerLip = sample(across, bottom);
  const dark = darkRatio * Math.min(upperLip.luma, lowerLip.luma);
  const brighterLip = Math.max(upperLip.luma, lowerLip.luma);
  const bright = brightRatio * brighterLip;
  const longestSplit = Math.floor((blur * gapSteps) / Math.max(bottom - top, blur, 1e-6));
  const runs: Run[] = [];
  let run: Run | undefined;
  let count = 0;
  for (let step = 1; step < gapSteps; step += 1) {
    const fraction = step / gapSteps;
    const { luma, redness } = sample(across, mix(top, bottom, fraction));
    const pale = paleRatio * mix(upperLip.redness, lowerLip.redness, fraction);
    const differs = luma < dark || luma > bright || redness < pale;
    if (!differs) continue;
    count += 1;
    const allowed = luma > teethRatio * brighterLip ? longestSplit : 0;
    if (run && step - run.end <= allowed + 1) run.end = step;
    else runs.push((run = { start: step, end: step }));
  }
  const stepOf = (down: number): number => ((down - top) * gapSteps) / Math.max(bottom - top, 1e-6);
  const { start, end } = joinRuns(runs, stepOf(at(curves.innerUpper, k)), stepOf(at(curves.innerLower, k)));
  return { top, bottom, count, from: Math.max(0, start - 0.5) / gapSteps, to: (end + 0.5) / gapSteps };
}

/** Samples of a run that is a row of teeth and not a reflection on a lip. */
const shortestRow = 3;

/**
 * The longest run, extended by rows of teeth that a tongue or gum of the lips' color separates from it. Such a row ends
 * nearer to the inner edge of a lip as the landmarks report it, at the samples `upper` and `lower`, than the longest run.
 */
function joinRuns(runs: readonly Run[], upper: number, lower: number): Run {
  const lengthOf = ({ start, end }: Run): number => end - start + 1;
  const joined = { start: 0, end: -0.5 };
  let longest = 0;
  for (const run of runs) {
    if (lengthOf(run) < longest) continue;
    longest = lengthOf(run);
    Object.assign(joined, run);
  }
  for (const run of runs.filter((each) => lengthOf(each) >= shortestRow)) {
    const { start, end } = run;
    const isBelow = start > joined.end && start < lower;
    if (isBelow && Math.abs(end + 0.5 - lower) < Math.abs(joined.end + 0.5 - lower)) joined.end = end;
    const isAbove = end < joined.start && end > upper;
    if (isAbove && Math.abs(start - 0.5 - upper) < Math.abs(joined.start - 0.5 - upper)) joined.start = start;
  }
  return joined;
}

/** Part of the mouth, around its middle, in which the visible gap is measured. */
const gapColumns = { from: 0.2, to: 0.8, stride: 2 } as const;
/** Width over which a picture spreads a sharp edge, both edges of the gap together. */
const blurPx = 1;

/**
 * Height of the visible gap between the lips, relative to the mouth's width: the band whose color differs from that of
 * the lips. The seam of closed lips stays below 0.03. Unlike the distance of landmarks it is measured in the picture.
 */
export function measureVisibleGap(picture: Picture, pose: HeadPose, curves: Readonly<LipCurves>): number {
  const sample = lipSampler(picture, pose);
  let sum = 0;
  let count = 0;
  const first = Math.round(gapColumns.from * curveSamples);
  for (let k = first; k <= gapColumns.to * curveSamples; k += gapColumns.stride) {
    const gap = findGap(sample, curves, k);
    sum += ((gap.bottom - gap.top) * gap.count) / gapSteps;
    count += 1;
  }
  return Math.max(0, sum / count - blurPx / pose.scale) / (curves.right - curves.left);
}

/** Every n-th curve sample is refined, and those between are interpolated. */
const refineStride = 4;
const refinedColumns = (curveSamples - 1) / refineStride + 1;
/** Shortest run of samples that counts as an opening. */
const shortestRun = 2;
/** Largest correction, relative to the mouth's width. */
const largestCorrection = 0.06;
/** Part of the mouth next to each corner in which the correction fades. */
const refinedEnd = 0.12;
const upperOffsets = new Float64Array(refinedColumns);
const lowerOffsets = new Float64Array(refinedColumns);

/**
 * Moves the inner edges of open lips to where the picture shows them. Landmarks miss them by some hundredths of the
 * mouth's width, most of all in laughing and small mouths. `blur` is the height of the edge between dark and teeth,
 * which may have the color of the lips and does not end an opening.
 */
export function refineInnerLips(sample: LipSampler, curves: LipCurves, blur = 0): void {
  const limit = largestCorrection * (curves.right - curves.left);
  upperOffsets.fill(0);
  lowerOffsets.fill(0);
  for (let column = 1; column < refinedColumns - 1; column += 1) {
    const k = column * refineStride;
    const gap = findGap(sample, curves, k, blur);
    if (gap.to - gap.from < shortestRun / gapSteps) continue;
    const fade = smoothStep(0, refinedEnd, Math.min(k, curveSamples - 1 - k) / (curveSamples - 1));
    const upper = mix(gap.top, gap.bottom, gap.from) - at(curves.innerUpper, k);
    const lower = mix(gap.top, gap.bottom, gap.to) - at(curves.innerLower, k);
    upperOffsets[column] = clamp(upper, -limit, limit) * fade;
    lowerOffsets[column] = clamp(lower, -limit, limit) * fade;
  }
  addSmoothed(upperOffsets, curves.innerUpper);
  addSmoothed(lowerOffsets, curves.innerLower);
}

/** Adds offsets of every n-th sample to all samples, after a median and a mean of three neighbors. */
function addSmoothed(offsets: Float64Array, edge: Float32Array): void {
  const around = (values: Float64Array, index: number): number[] => [
    at(values, Math.max(0, index - 1)),
    at(values, index),
    at(values, Math.min(refinedColumns - 1, index + 1)),
  ];
  const medians = offsets.map((_, index) => medianInPlace(around(offsets, index)));
  const means = medians.map((_, index) => around(medians, index).reduce((sum, value) => sum + value, 0) / 3);
  for (let k = 0; k < curveSamples; k += 1) {
    const column = Math.min(refinedColumns - 2, Math.floor(k / refineStride));
    edge[k] = at(edge, k) + mix(at(means, column), at(means, column + 1), k / refineStride - column);
  }
}
