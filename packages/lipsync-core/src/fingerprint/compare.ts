import { fineStepOf, unpackFingerprint, type UnpackedFingerprint } from './fingerprint.ts';
import { compareMouths, mouthCellsOf } from './mouth-patch.ts';
import { correlate, likelyAreas, meansOf, thumbnailSide, type RelativeArea } from './picture-hash.ts';
import { countDifferingBits, fineStepMs, variantsOf, type SoundHashes } from './sound-hash.ts';
import { spreadFrames, type QueryFrame, type VideoQuery } from './video-query.ts';

/** How much a video resembles an output. */
export interface Similarity {
  /** Correlation of the most similar pictures, 0 to 1. */
  readonly picture: number;
  /** 1 for equal hashes, 0 for those of any other sound; null if either has no sound. */
  readonly sound: number | null;
  /** Correlation of the motion of the mouths, −1 to 1; null if it cannot be measured. */
  readonly mouth: number | null;
  /** How much later the output begins than the video; null unless picture or sound agree on it. */
  readonly offsetMs: number | null;
}

/** Cells of a thumbnail that the video must show, and pictures that are aligned. */
const minCells = 0.6 * thumbnailSide * thumbnailSide;
const alignedFrames = 6;
const refinements = [0.02, 0.01, 0.005] as const;
/** Hashes that must be compared: 1.2 s of sound that is no pause. */
const minHashes = 12;
/** Offsets that are compared, by the number of equal hashes. */
const triedOffsets = 6;
/** A picture of the mouth is compared with one at most this much earlier or later. */
const maxGapMs = 30;
/**
 * Stored mouths that must be compared: 2.4 s of the first 15 s of an output, or 12 s of the rest of its first two minutes;
 * later ones are not stored.
 */
const minMouths = 12;
/** A codec moves sound and picture against each other by up to a frame of each. */
const mouthSearch = { toleranceMs: 80, stepMs: 20 };
/** Pictures that differ more have no mouth in common. */
const minPicture = 0.7;

/**
 * Compares a video with outputs, by their packed fingerprints. The similarity is null for a fingerprint that cannot be
 * read: another version wrote it, or it is damaged. Pure.
 */
export function compareWithOutputs(query: VideoQuery, outputs: readonly string[]): readonly (Similarity | null)[] {
  return outputs.map((packed) => {
    try {
      return compareVideo(query, unpackFingerprint(packed));
    } catch {
      return null;
    }
  });
}

/** Compares a video with an output. Pure; the time is bounded by the lengths that both keep. */
export function compareVideo(query: VideoQuery, output: UnpackedFingerprint): Similarity {
  const heard = alignSound(query.sound, output.sound);
  const seen = alignPicture(query.frames, output.thumbnails);
  const isSound = heard !== null && heard.similarity >= 0.2;
  const offsetMs = isSound ? heard.offsetSteps * fineStepMs : null;
  const mouth =
    seen.area && seen.correlation >= minPicture ? measureMouth(query.frames, output, seen.area, offsetMs) : null;
  return {
    picture: round(Math.max(0, seen.correlation)),
    sound: heard && round(Math.max(0, heard.similarity)),
    mouth: mouth ? round(mouth.similarity) : null,
    offsetMs: offsetMs ?? mouth?.offsetMs ?? null,
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** The offset at which most bits agree; null without sound to compare. */
function alignSound(
  query: SoundHashes,
  stored: Uint32Array,
): { readonly similarity: number; readonly offsetSteps: number } | null {
  const isSilent = (hashes: Uint32Array): boolean => hashes.every((hash) => hash === 0);
  if (isSilent(query.hashes) || isSilent(stored)) return null;
  let best = { similarity: 0, offsetSteps: 0 };
  for (const offsetSteps of voteOffsets(query, stored)) {
    const similarity = similarityAt(query.hashes, stored, offsetSteps);
    if (similarity > best.similarity) best = { similarity, offsetSteps };
  }
  return best;
}

/** The offsets at which most hashes are equal, or differ in their weakest bits only. */
function voteOffsets({ hashes, weak }: SoundHashes, stored: Uint32Array): readonly number[] {
  const steps = new Map<number, number[]>();
  for (const [step, hash] of stored.entries()) {
    const known = steps.get(hash);
    if (known) known.push(step);
    else if (hash !== 0) steps.set(hash, [step]);
  }
  const votes = new Map<number, number>();
  for (const [fineStep, hash] of hashes.entries()) {
    if (hash === 0) continue;
    for (const variant of variantsOf(hash, weak[fineStep] ?? 0)) {
      for (const step of steps.get(variant) ?? []) {
        const offset = fineStep - fineStepOf(step);
        votes.set(offset, (votes.get(offset) ?? 0) + 1);
      }
    }
  }
  return [...votes]
    .toSorted((one, other) => other[1] - one[1])
    .slice(0, triedOffsets)
    .map(([offset]) => offset);
}

function similarityAt(query: Uint32Array, stored: Uint32Array, offsetSteps: number): number {
  let [bits, count] = [0, 0];
  for (const [step, hash] of stored.entries()) {
    const fineStep = fineStepOf(step) + offsetSteps;
    if (hash === 0 || fineStep < 0 || fineStep >= query.length) continue;
    bits += countDifferingBits(hash, query[fineStep] ?? 0);
    count += 1;
  }
  // Half of the bits of two unrelated sounds differ.
  return count >= minHashes ? 1 - (2 * bits) / (32 * count) : 0;
}

interface AlignedPicture {
  readonly correlation: number;
  /** The part of the video that shows the picture of the output; it may reach beyond its edges. */
  readonly area: RelativeArea | undefined;
}

function alignPicture(frames: readonly QueryFrame[], thumbnails: readonly Float32Array[]): AlignedPicture {
  let best: AlignedPicture & { readonly thumbnail?: Float32Array; readonly frame?: QueryFrame } = {
    correlation: 0,
    area: undefined,
  };
  for (const frame of spreadFrames(frames, alignedFrames)) {
    for (const thumbnail of thumbnails) {
      for (const area of likelyAreas()) {
        const correlation = correlationAt(frame, thumbnail, area);
        if (correlation > best.correlation) best = { correlation, area, thumbnail, frame };
      }
    }
  }
  const { thumbnail, frame, area } = best;
  return thumbnail && frame && area ? refine(frame, thumbnail, { ...best, area }) : best;
}

/** Moves the edges of the area as long as the pictures become more similar. */
function refine(
  frame: QueryFrame,
  thumbnail: Float32Array,
  start: AlignedPicture & { readonly area: RelativeArea },
): AlignedPicture {
  let { area, correlation } = start;
  for (const step of refinements) {
    for (let improves = true; improves;) {
      improves = false;
      for (const changed of neighborsOf(area, step)) {
        const value = correlationAt(frame, thumbnail, changed);
        if (value <= correlation + 1e-4) continue;
        [area, correlation, improves] = [changed, value, true];
      }
    }
  }
  return { area, correlation };
}

function neighborsOf({ left, top, width, height }: RelativeArea, step: number): readonly RelativeArea[] {
  return [-step, step].flatMap((change) => [
    { left: left + change, top, width, height },
    { left, top: top + change, width, height },
    { left: left - change / 2, top, width: width + change, height },
    { left, top: top - change / 2, width, height: height + change },
    { left: left - change / 2, top: top - change / 2, width: width + change, height: height + change },
  ]);
}

function correlationAt({ luma }: QueryFrame, thumbnail: Float32Array, area: RelativeArea): number {
  const { correlation, count } = correlate(meansOf(luma, area, thumbnailSide, thumbnailSide), thumbnail);
  return count >= minCells ? correlation : 0;
}

/** Compares the motion of the mouths near an offset, or at any if it is unknown; null if it cannot be measured. */
function measureMouth(
  frames: readonly QueryFrame[],
  output: UnpackedFingerprint,
  area: RelativeArea,
  offsetMs: number | null,
): { readonly similarity: number; readonly offsetMs: number } | null {
  const { toleranceMs, stepMs } = mouthSearch;
  const [fromMs, toMs] =
    offsetMs === null
      ? [-(output.mouths.at(-1)?.timeMs ?? 0), frames.at(-1)?.timeMs ?? 0]
      : [offsetMs - toleranceMs, offsetMs + toleranceMs];
  let best: { readonly similarity: number; readonly offsetMs: number } | null = null;
  for (let triedMs = fromMs; triedMs <= toMs; triedMs += stepMs) {
    const similarity = mouthsAt(frames, output, area, triedMs);
    if (similarity !== null && similarity > (best?.similarity ?? -1)) best = { similarity, offsetMs: triedMs };
  }
  return best;
}

function mouthsAt(
  frames: readonly QueryFrame[],
  { mouths }: UnpackedFingerprint,
  area: RelativeArea,
  offsetMs: number,
): number | null {
  const [stored, found]: [Float32Array[], Float32Array[]] = [[], []];
  for (const mouth of mouths) {
    const frame = frameAt(frames, mouth.timeMs + offsetMs);
    const cells = frame && mouthCellsOf(frame.luma, mouth.area, area);
    if (!cells || cells.some(Number.isNaN)) continue;
    stored.push(mouth.cells);
    found.push(cells);
  }
  return stored.length >= minMouths ? compareMouths(stored, found) : null;
}

/** The frame next to a time; undefined if it is too far away. Frames are equally spaced. */
function frameAt(frames: readonly QueryFrame[], timeMs: number): QueryFrame | undefined {
  const [first, last] = [frames[0], frames.at(-1)];
  if (!first || !last) return undefined;
  const spacingMs = (last.timeMs - first.timeMs) / Math.max(1, frames.length - 1);
  const frame = frames[Math.round((timeMs - first.timeMs) / Math.max(1, spacingMs))];
  return frame && Math.abs(frame.timeMs - timeMs) <= maxGapMs ? frame : undefined;
}
