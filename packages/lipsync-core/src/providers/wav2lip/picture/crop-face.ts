import type { ColourTags, Picture } from '../../../media/media-types.ts';
import { colourMatrixOf, toBgr, type ColourMatrix } from './colour-matrix.ts';
import { pictureMapOf, type FacePlacement } from './face-placement.ts';
import { planesOf, toColourPlane } from './picture-planes.ts';
import { createPlaneResampler, type PlaneTarget } from './resample-plane.ts';

export interface FaceCropperOptions {
  /** Side of the crop. */
  readonly cropSizePx: number;
  readonly colour: ColourTags;
}

/** Takes faces out of the pictures of one clip. Keeps its memory between frames, so one cropper serves one thread. */
export interface FaceCropper {
  /**
   * Writes the face at `placement`, upright and stretched to a square, into the first `cropSizePx² × 3` bytes of
   * `output` as BGR. What lies outside the picture takes the colour of its edge.
   */
  crop(picture: Picture, placement: FacePlacement, output: Uint8Array): void;
}

export function createFaceCropper({ cropSizePx, colour }: FaceCropperOptions): FaceCropper {
  const resampler = createPlaneResampler();
  const pixels = cropSizePx * cropSizePx;
  const square = (): PlaneTarget => ({ values: new Int16Array(pixels), columns: cropSizePx, rows: cropSizePx });
  const lumaTarget = square();
  const blueTarget = square();
  const redTarget = square();
  let matrix: ColourMatrix | undefined;
  return {
    crop(picture, placement, output) {
      matrix ??= colourMatrixOf(colour, picture.height);
      const { luma, blue, red } = planesOf(picture);
      const map = pictureMapOf(placement, cropSizePx, cropSizePx);
      const colourMap = toColourPlane(map);
      resampler.resample(luma, map, lumaTarget, 'linear');
      resampler.resample(blue, colourMap, blueTarget, 'linear');
      resampler.resample(red, colourMap, redTarget, 'linear');
      toBgr(matrix, lumaTarget.values, blueTarget.values, redTarget.values, pixels, output);
    },
  };
}

/** Takes one face out of one picture, as a cropper does; for many of them make a cropper. */
export function cropFace(
  picture: Picture,
  colour: ColourTags,
  placement: FacePlacement,
  cropSizePx: number,
  output: Uint8Array,
): void {
  createFaceCropper({ cropSizePx, colour }).crop(picture, placement, output);
}
