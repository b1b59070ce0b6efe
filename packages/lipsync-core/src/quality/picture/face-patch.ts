import { AffineResampler, valueFractionBits } from '../../image/affine-resampler.ts';
import { planesOf, toChromaSource, type AffineTransform, type Picture, type PixelArea } from '../../image/planes.ts';
import { leftEyeCorners, outerLips, rightEyeCorners } from '../../face/landmarks.ts';

/** Cells of a patch that the distance between the eyes spans. */
export const eyeSpan = 48;
/** Side of a patch in cells. It shows the face from above the brows to below the chin. */
export const patchSide = 120;
/** Row of the eyes. */
const eyeRow = 25;
/** Smaller faces have too few pixels for a judgement. */
const minimumEyeDistancePx = 24;

/** Position of an upright face patch in a picture. */
export interface PatchPlacement {
  readonly transform: AffineTransform;
  /** Zones in cells of the patch. */
  readonly mouth: Readonly<PixelArea>;
  readonly eyes: Readonly<PixelArea>;
}

/** A face at a fixed scale. Values have `valueFractionBits` fraction bits. */
export interface FacePatch {
  readonly luma: Int16Array;
  readonly cb: Int16Array;
  readonly cr: Int16Array;
}

/** Half width and half height of the mouth zone, relative to the distance between the eyes. */
const mouthReach = { x: 0.5, y: 0.36 } as const;

/** Places a patch by landmarks, or returns undefined when the face is too small or turned too far. */
export function placePatch(points: Float32Array): PatchPlacement | undefined {
  const left = centerOf(points, leftEyeCorners);
  const right = centerOf(points, rightEyeCorners);
  const mouth = centerOf(points, outerLips);
  // The depth keeps the scale of a face that turns.
  const distance = Math.hypot(right.x - left.x, right.y - left.y, right.z - left.z);
  const flat = Math.hypot(right.x - left.x, right.y - left.y);
  if (!(flat >= minimumEyeDistancePx && flat >= distance * 0.5)) return undefined;
  const step = distance / eyeSpan;
  const eyes = { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
  const x = (eyes.x + mouth.x) / 2 - (step * patchSide) / 2;
  const y = eyes.y - step * eyeRow;
  const toPatch = (px: number, origin: number): number => (px - origin) / step;
  return {
    transform: { x, y, acrossX: step, acrossY: 0, downX: 0, downY: step },
    mouth: zoneAround(toPatch(mouth.x, x), toPatch(mouth.y, y), mouthReach),
    eyes: zoneAround(toPatch(eyes.x, x), eyeRow + 4, { x: 0.8, y: 0.32 }),
  };
}

function zoneAround(x: number, y: number, reach: { readonly x: number; readonly y: number }): PixelArea {
  const inside = (value: number): number => Math.round(Math.min(patchSide - 2, Math.max(2, value)));
  return {
    left: inside(x - reach.x * eyeSpan),
    top: inside(y - reach.y * eyeSpan),
    right: inside(x + reach.x * eyeSpan),
    bottom: inside(y + reach.y * eyeSpan),
  };
}

function centerOf(points: Float32Array, indices: readonly number[]) {
  const mean = (axis: number): number =>
    indices.reduce((sum, index) => sum + (points[index * 3 + axis] ?? NaN), 0) / indices.length;
  return { x: mean(0), y: mean(1), z: mean(2) };
}

/** Creates an empty patch, to be reused. */
export function createPatch(): FacePatch {
  return {
    luma: new Int16Array(patchSide * patchSide),
    cb: new Int16Array(patchSide * patchSide),
    cr: new Int16Array(patchSide * patchSide),
  };
}

/** Levels per unit of a patch's values. */
export const levelPerUnit = 1 / (1 << valueFractionBits);

/** Samples face patches. Keeps its memory between calls. */
export class FacePatchSampler {
  readonly #resampler = new AffineResampler();

  sample(picture: Picture, { transform }: PatchPlacement, patch: FacePatch): void {
    const { luma, cb, cr } = planesOf(picture);
    const chroma = toChromaSource(transform);
    const size = { columns: patchSide, rows: patchSide };
    this.#resampler.resample(luma, transform, { values: patch.luma, ...size }, 'linear');
    this.#resampler.resample(cb, chroma, { values: patch.cb, ...size }, 'linear');
    this.#resampler.resample(cr, chroma, { values: patch.cr, ...size }, 'linear');
  }
}

/** The area of a picture that a provider may redraw: from below the eyes to below the chin. Even numbers of pixels. */
export function redrawnArea({ transform }: PatchPlacement): PixelArea {
  const { x, y, acrossX: step } = transform;
  const even = (value: number): number => 2 * Math.round(value / 2);
  return {
    left: even(x),
    top: even(y + step * (eyeRow + 8)),
    right: even(x + step * patchSide),
    bottom: even(y + step * patchSide),
  };
}
