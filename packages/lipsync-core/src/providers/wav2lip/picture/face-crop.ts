import { rollOf } from '../../../face/face-pose.ts';
import { AffineResampler, type ResampleTarget } from '../../../image/affine-resampler.ts';
import { colorMatrixOf, toBgr, type ColorMatrix } from '../../../image/color-matrix.ts';
import { planesOf, toChromaSource, type AffineTransform, type ColorTags, type Picture } from '../../../image/planes.ts';

/** The rotated bounding box of a face, in pixels of the upright clip. */
export interface FacePlacement {
  readonly centerX: number;
  readonly centerY: number;
  readonly width: number;
  readonly height: number;
  /** Clockwise head roll in radians. */
  readonly roll: number;
}

/**
 * The model was trained on boxes of the S3FD detector, which reach from mid-forehead to chin and from cheek to cheek,
 * with 10 pixels of padding at the bottom of faces of about 200 pixels. Mid-forehead is between the mesh landmarks
 * hairline (10) and glabella (9); the chin (152) and the sides are part of the face oval.
 */
const hairline = 10;
const glabella = 9;
const faceOval = [
  10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
  172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
] as const;
/** Bottom padding as a share of the box height. */
const bottomPadding = 0.05;
/**
 * Inset on each side as a share of the width: the face oval runs in front of the ears, detector boxes end at the
 * cheeks.
 */
const sideInset = 0.03;

/**
 * Computes the model's face box from face mesh landmarks (x, y, z triples in pixels). Depends on one frame only,
 * because tracks are already smoothed, and does not round, so the box moves as smoothly as the face. Throws a
 * RangeError for landmarks without extent.
 */
export function placeFace(points: Float32Array): FacePlacement {
  const roll = rollOf(points);
  const cosine = Math.cos(roll);
  const sine = Math.sin(roll);
  const across = (landmark: number): number =>
    (points[landmark * 3] ?? NaN) * cosine + (points[landmark * 3 + 1] ?? NaN) * sine;
  const down = (landmark: number): number =>
    (points[landmark * 3 + 1] ?? NaN) * cosine - (points[landmark * 3] ?? NaN) * sine;
  let left = Infinity;
  let right = -Infinity;
  let chin = -Infinity;
  for (const landmark of faceOval) {
    left = Math.min(left, across(landmark));
    right = Math.max(right, across(landmark));
    chin = Math.max(chin, down(landmark));
  }
  const top = (down(hairline) + down(glabella)) / 2;
  const bottom = chin + (chin - top) * bottomPadding;
  const width = (right - left) * (1 - 2 * sideInset);
  const height = bottom - top;
  if (!(width > 0 && height > 0 && width + height < Infinity)) throw new RangeError('The landmarks have no extent.');
  const centerAcross = (left + right) / 2;
  const centerDown = (top + bottom) / 2;
  return {
    centerX: centerAcross * cosine - centerDown * sine,
    centerY: centerAcross * sine + centerDown * cosine,
    width,
    height,
    roll,
  };
}

/** Transform from the pixels of a `columns × rows` crop of the box to the picture. */
export function cropToPicture(
  { centerX, centerY, width, height, roll }: FacePlacement,
  columns: number,
  rows: number,
): AffineTransform {
  const acrossX = (Math.cos(roll) * width) / columns;
  const acrossY = (Math.sin(roll) * width) / columns;
  const downX = (-Math.sin(roll) * height) / rows;
  const downY = (Math.cos(roll) * height) / rows;
  const x = centerX - (acrossX * columns + downX * rows) / 2;
  const y = centerY - (acrossY * columns + downY * rows) / 2;
  return { x, y, acrossX, acrossY, downX, downY };
}

/** Inverse of `cropToPicture`. */
export function pictureToCrop(placement: FacePlacement, columns: number, rows: number): AffineTransform {
  const { x, y, acrossX, acrossY, downX, downY } = cropToPicture(placement, columns, rows);
  const determinant = acrossX * downY - downX * acrossY;
  return {
    x: (downX * y - downY * x) / determinant,
    y: (acrossY * x - acrossX * y) / determinant,
    acrossX: downY / determinant,
    acrossY: -acrossY / determinant,
    downX: -downX / determinant,
    downY: acrossX / determinant,
  };
}

export interface FaceCropperOptions {
  /** Side of the crop. */
  readonly cropSizePx: number;
  readonly color: ColorTags;
}

/** Crops faces from the pictures of one clip. Reuses its buffers, so it must not be shared between threads. */
export class FaceCropper {
  readonly #color: ColorTags;
  readonly #cropSizePx: number;
  readonly #resampler = new AffineResampler();
  readonly #luma: ResampleTarget;
  readonly #cb: ResampleTarget;
  readonly #cr: ResampleTarget;
  #matrix: ColorMatrix | undefined;

  constructor({ cropSizePx, color }: FaceCropperOptions) {
    const target = (): ResampleTarget => ({
      values: new Int16Array(cropSizePx * cropSizePx),
      columns: cropSizePx,
      rows: cropSizePx,
    });
    this.#cropSizePx = cropSizePx;
    this.#color = color;
    this.#luma = target();
    this.#cb = target();
    this.#cr = target();
  }

  /**
   * Writes the face box, upright and stretched to a square, to the first `cropSizePx² × 3` bytes of `output` as BGR.
   * Pixels outside of the picture repeat its edge.
   */
  crop(picture: Picture, placement: FacePlacement, output: Uint8Array): void {
    this.#matrix ??= colorMatrixOf(this.#color, picture.height);
    const { luma, cb, cr } = planesOf(picture);
    const lumaTransform = cropToPicture(placement, this.#cropSizePx, this.#cropSizePx);
    const chromaTransform = toChromaSource(lumaTransform);
    this.#resampler.resample(luma, lumaTransform, this.#luma, 'linear');
    this.#resampler.resample(cb, chromaTransform, this.#cb, 'linear');
    this.#resampler.resample(cr, chromaTransform, this.#cr, 'linear');
    const planes = { luma: this.#luma.values, cb: this.#cb.values, cr: this.#cr.values };
    toBgr(this.#matrix, planes, this.#cropSizePx ** 2, output);
  }
}
