import {
  comparePatches,
  samplePatch,
  type FaceAreas,
  type PatchArea,
  type PatchDifference,
  type PatchPlacement,
} from './face-patches.ts';
import type { RgbFrame } from './picture-registration.ts';

/** A face of a clip frame, as it looks in that frame and in its neighbors. */
export interface ClipFace {
  readonly areas: FaceAreas;
  readonly looks: readonly { readonly mouth: Float32Array; readonly eyes: Float32Array }[];
}

/** A mouth of a take beside that of the clip. */
interface MouthComparison {
  readonly isOld: boolean;
  /** Its difference, and the largest mean difference of an old mouth at this quality of the picture, in levels. */
  readonly difference: number;
  readonly limit: number;
}

/** What one frame of a take shows. */
export interface SampleVerdict {
  /** The mouth that differs most from the clip; null when none can be compared. */
  readonly mouth: MouthComparison | null;
  /** Whether the mouths look exactly as in the previous sample; null without one. */
  readonly isStill: boolean | null;
}

// The tests in test/quality check the limits below: the sample and the clips of LIPSYNC_TEST_CLIPS_DIR, with redrawn and
// with old lips; the sample also encoded coarsely, scaled, cropped, and at another frame rate.

/**
 * An old mouth differs from the clip about as much as the eyes do. New lips differ by several times as much, except in
 * single frames of a coarse encode, where only the mean tells.
 */
const oldMouthFactor = 2;
const oldMouthMeanFactor = 1.45;
/** Levels that are added, because the eyes of a good encode hardly differ. */
const oldMouthMargin = 1;
/** Share of its contrast by which a mouth may differ at most to count as old. */
const oldMouthShare = 0.4;
/** Where the eyes differ by more than this share of their contrast, another picture is shown. */
const comparableShare = 0.45;
/** Levels by which a mouth that does not move differs from sample to sample. */
const stillLevels = 1;
/** Offsets that are tried, in cells. */
const offsets = [-0.5, 0, 0.5];

/** The frame of a take and the sample before it in the same window. */
export interface TakeSample {
  readonly frame: RgbFrame;
  readonly previous: RgbFrame | undefined;
}

/** Compares the mouths of a sampled frame with those of the clip at the same time, and with the previous sample. */
export function judgeSample(
  faces: readonly ClipFace[],
  { frame, previous }: TakeSample,
  placement: PatchPlacement,
): SampleVerdict {
  const mouths = faces.map((face) => compareMouth(face, frame, placement)).filter((mouth) => mouth !== null);
  const byExcess = mouths.toSorted(
    (first, second) => second.difference / second.limit - first.difference / first.limit,
  );
  return {
    mouth: byExcess[0] ?? null,
    isStill:
      previous === undefined || faces.length === 0
        ? null
        : faces.every(({ areas }) => isStill(areas.mouth, { frame, previous }, placement)),
  };
}

function compareMouth({ areas, looks }: ClipFace, frame: RgbFrame, placement: PatchPlacement): MouthComparison | null {
  const eyes = smallestDifference(
    areas.eyes,
    looks.map((look) => look.eyes),
    frame,
    placement,
  );
  if (!eyes || eyes.rms > comparableShare * eyes.contrast) return null;
  const mouth = smallestDifference(
    areas.mouth,
    looks.map((look) => look.mouth),
    frame,
    placement,
  );
  if (!mouth) return null;
  const isOld = mouth.rms <= oldMouthFactor * eyes.rms + oldMouthMargin && mouth.rms <= oldMouthShare * mouth.contrast;
  return { isOld, difference: mouth.rms, limit: oldMouthMeanFactor * eyes.rms + oldMouthMargin };
}

/** The difference at the best offset from the best of the neighboring clip frames. */
function smallestDifference(
  area: PatchArea,
  looks: readonly Float32Array[],
  frame: RgbFrame,
  placement: PatchPlacement,
): PatchDifference | undefined {
  let smallest: PatchDifference | undefined;
  for (const down of offsets)
    for (const across of offsets) {
      const moved = {
        ...placement,
        across: placement.across + across * area.cell,
        down: placement.down + down * area.cell,
      };
      const patch = samplePatch(frame, area, moved);
      for (const look of looks) {
        const difference = comparePatches(look, patch);
        if (difference.rms < (smallest?.rms ?? Infinity)) smallest = difference;
      }
    }
  return smallest;
}

function isStill(
  area: PatchArea,
  { frame, previous }: { readonly frame: RgbFrame; readonly previous: RgbFrame },
  placement: PatchPlacement,
): boolean {
  const now = samplePatch(frame, area, placement);
  const before = samplePatch(previous, area, placement);
  const squares = now.reduce((sum, value, index) => sum + (value - (before[index] ?? 0)) ** 2, 0);
  return Math.sqrt(squares / now.length) < stillLevels;
}

/** Share of the samples that must agree. */
const neededShare = 0.8;

/** Whether the lips of a window are unchanged: those of the clip, or not moving at all. */
export function areLipsUnchanged(verdicts: readonly SampleVerdict[]): boolean {
  const mouths = verdicts.flatMap(({ mouth }) => mouth ?? []);
  const followed = verdicts.flatMap(({ isStill }) => isStill ?? []);
  const isOld = 2 * mouths.length > verdicts.length && areOld(mouths);
  return isOld || (2 * followed.length > verdicts.length && mostly(followed));
}

function areOld(mouths: readonly MouthComparison[]): boolean {
  const power = (values: readonly number[]): number => values.reduce((sum, value) => sum + value ** 2, 0);
  const isWithinLimit = power(mouths.map(({ difference }) => difference)) <= power(mouths.map(({ limit }) => limit));
  return isWithinLimit && mostly(mouths.map(({ isOld }) => isOld));
}

function mostly(flags: readonly boolean[]): boolean {
  return flags.filter((flag) => flag).length >= neededShare * flags.length;
}
