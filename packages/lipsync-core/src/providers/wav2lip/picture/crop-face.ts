import type { ColorTags, Picture } from '../../../media/media-types.ts';
import { colorMatrixOf, toBgr, type ColorMatrix } from '../../../image/color-matrix.ts';
import { pictureMapOf, type FacePlacement } from './face-placement.ts';
import { planesOf, toChromaSource } from '../../../image/planes.ts';
import { AffineResampler, type ResampleTarget } from '../../../image/affine-resampler.ts';

export interface FaceCropperOptions {
  /** Side of the crop. */
  readonly cropSizePx: number;
  readonly color: ColorTags;
}

/** Takes faces out of the pictures of one clip. Keeps its memory between frames, so one cropper serves one thread. */
export interface FaceCropper {
  /**
   * Writes the face at `placement`, upright and stretched to a square, into the first `cropSizePx² × 3` bytes of
   * `output` as BGR. What lies outside the picture takes the color of its edge.
   */
  crop(picture: Picture, placement: FacePlacement, output: Uint8Array): void;
}

export function createFaceCropper({ cropSizePx, color }: FaceCropperOptions): FaceCropper {
  const resampler = new AffineResampler();
  const pixels = cropSizePx * cropSizePx;
  const square = (): ResampleTarget => ({ values: new Int16Array(pixels), columns: cropSizePx, rows: cropSizePx });
  const lumaTarget = square();
  const cbTarget = square();
  const crTarget = square();
  const targetValues = { luma: lumaTarget.values, cb: cbTarget.values, cr: crTarget.values };
  let matrix: ColorMatrix | undefined;
  return {
    crop(picture, placement, output) {
      matrix ??= colorMatrixOf(color, picture.height);
      const { luma, cb, cr } = planesOf(picture);
      const map = pictureMapOf(placement, cropSizePx, cropSizePx);
      const colorMap = toChromaSource(map);
      resampler.resample(luma, map, lumaTarget, 'linear');
      resampler.resample(cb, colorMap, cbTarget, 'linear');
      resampler.resample(cr, colorMap, crTarget, 'linear');
      toBgr(matrix, targetValues, pixels, output);
    },
  };
}

/** Takes one face out of one picture, as a cropper does; for many of them make a cropper. */
export function cropFace(
  picture: Picture,
  color: ColorTags,
  placement: FacePlacement,
  cropSizePx: number,
  output: Uint8Array,
): void {
  createFaceCropper({ cropSizePx, color }).crop(picture, placement, output);
}
