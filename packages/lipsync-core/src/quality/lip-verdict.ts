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

/** Whether the mouths of one frame of a take are those of the clip; null when they cannot be compared. */
export interface SampleVerdict {
  readonly isOld: boolean | null;
  /** Whether the mouths look exactly as in the previous sample; null without one. */
  readonly isStill: boolean | null;
}

/** An old mouth differs from the clip about as much as the eyes do. New lips differ by several times as much. */
const oldMouthFactor = 2;
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
  const verdicts = faces.map((face) => isOldMouth(face, frame, placement)).filter((verdict) => verdict !== null);
  return {
    isOld: verdicts.length === 0 ? null : verdicts.every((isOld) => isOld),
    isStill:
      previous === undefined || faces.length === 0
        ? null
        : faces.every(({ areas }) => isStill(areas.mouth, { frame, previous }, placement)),
  };
}

function isOldMouth({ areas, looks }: ClipFace, frame: RgbFrame, placement: PatchPlacement): boolean | null {
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
  return mouth.rms <= oldMouthFactor * eyes.rms + oldMouthMargin && mouth.rms <= oldMouthShare * mouth.contrast;
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

const neededShare = 0.8;

/** Whether the lips of a window are unchanged: those of the clip, or not moving at all. */
export function areLipsUnchanged(verdicts: readonly SampleVerdict[]): boolean {
  const compared = verdicts.filter(({ isOld }) => isOld !== null);
  const followed = verdicts.filter(({ isStill }) => isStill !== null);
  const isOld = compared.filter((verdict) => verdict.isOld).length >= neededShare * compared.length;
  const still = followed.filter((verdict) => verdict.isStill).length >= neededShare * followed.length;
  return (2 * compared.length > verdicts.length && isOld) || (2 * followed.length > verdicts.length && still);
}
