import type { ColorTags, Picture } from '../../../media/media-types.ts';
import { colorMatrixOf, type ColorMatrix } from '../../../image/color-matrix.ts';
import { cropMapOf, pictureMapOf, type FacePlacement } from './face-placement.ts';
import { createMouthMaskLayer, maskCells, type MouthMask } from './mouth-mask.ts';
import { planesOf, toChromaTarget, type AffineTransform, type PixelArea, type Plane } from '../../../image/planes.ts';
import { PlaneBlender } from '../../../image/plane-blender.ts';
import { createRedrawnPlaneMaker } from './redrawn-planes.ts';

export interface FacePasterOptions {
  /** Whether the redrawn face takes on the shade that the clip has around it. */
  readonly colorMatch: boolean;
  /** Whether the redrawn face is made as sharp as the clip's own, as far as that goes without artifacts. */
  readonly sharpen: boolean;
  /** Side of the crops. */
  readonly cropSizePx: number;
  readonly color: ColorTags;
}

export interface FacePaste {
  /** Changed in place. */
  readonly picture: Picture;
  readonly placement: FacePlacement;
  /** The face's landmarks: x, y, z triples in the picture's pixels. */
  readonly points: Float32Array;
  /** The redrawn face, and the face as it was cropped: `cropSizePx² × 3` bytes, BGR. */
  readonly generated: Uint8Array;
  readonly source: Uint8Array;
  /** 0 leaves the picture as it is, 1 replaces mouth and jaw, between them they are mixed. */
  readonly strength: number;
}

/** Puts redrawn faces back into the pictures of one clip. Keeps its memory, and the shade it found, between frames; serves one thread. */
export interface FacePaster {
  /** Replaces mouth and jaw through a soft mask; every byte outside the mask stays what it is. Returns the bytes written. */
  paste(paste: FacePaste): number;
  /** Says that the next frame belongs to another shot: shade and sharpness are found anew instead of followed. */
  startShot(): void;
}

export function createFacePaster(options: FacePasterOptions): FacePaster {
  const { cropSizePx } = options;
  const masks = createMouthMaskLayer();
  const maker = createRedrawnPlaneMaker(options);
  const blender = new PlaneBlender();
  const area: PixelArea = { left: 0, top: 0, right: 0, bottom: 0 };
  let matrix: ColorMatrix | undefined;
  return {
    paste({ picture, placement, points, generated, source, strength }) {
      if (!(strength > 0)) return 0;
      const mask = masks.lay(placement, points);
      coverArea(mask, placement, picture, area);
      if (area.left >= area.right || area.top >= area.bottom) return 0;
      matrix ??= colorMatrixOf(options.color, picture.height);
      const redrawn = maker.make(matrix, mask, source, generated);
      const planes = planesOf(picture);
      // A map into the whole box as 1 × 1, to be scaled to the mask's cells and the crop's pixels.
      const toBox = startingAt(cropMapOf(placement, 1, 1), area.left, area.top);
      const colorToBox = toChromaTarget(toBox);
      const toCrop = enlarged(toBox, cropSizePx, redrawn.firstRow);
      const colorToCrop = enlarged(colorToBox, cropSizePx, redrawn.firstRow);
      const alphaMask: Plane = { data: mask.cover, start: 0, width: maskCells, height: maskCells };
      blender.setAlpha(alphaMask, enlarged(colorToBox, maskCells, 0), area, strength);
      return (
        blender.blend(planes.luma, redrawn.luma, toCrop, 2) +
        blender.blend(planes.cb, redrawn.blue, colorToCrop, 1) +
        blender.blend(planes.cr, redrawn.red, colorToCrop, 1)
      );
    },
    startShot: () => maker.reset(),
  };
}

/** The part of the picture that the mask can touch. */
function coverArea(
  { area: cells }: MouthMask,
  placement: FacePlacement,
  { width, height }: Picture,
  area: PixelArea,
): void {
  const { x, y, acrossX, acrossY, downX, downY } = pictureMapOf(placement, maskCells, maskCells);
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (let corner = 0; corner < 4; corner += 1) {
    // The cover falls from one cell's middle to the next one's, so that it reaches half a cell beyond.
    const column = corner & 1 ? cells.right + 0.5 : cells.left - 0.5;
    const row = corner & 2 ? cells.bottom + 0.5 : cells.top - 0.5;
    left = Math.min(left, x + acrossX * column + downX * row);
    right = Math.max(right, x + acrossX * column + downX * row);
    top = Math.min(top, y + acrossY * column + downY * row);
    bottom = Math.max(bottom, y + acrossY * column + downY * row);
  }
  area.left = Math.max(0, Math.floor(left / 2) * 2);
  area.top = Math.max(0, Math.floor(top / 2) * 2);
  area.right = Math.min(width, Math.ceil(right / 2) * 2);
  area.bottom = Math.min(height, Math.ceil(bottom / 2) * 2);
}

/** The same map for a target that begins at (`left`, `top`). */
function startingAt(map: AffineTransform, left: number, top: number): AffineTransform {
  return { ...map, x: map.x + map.acrossX * left + map.downX * top, y: map.y + map.acrossY * left + map.downY * top };
}

/** The same map for a source of `size × size` instead of 1 × 1, of which only the rows from `firstRow` on are there. */
function enlarged(
  { x, y, acrossX, acrossY, downX, downY }: AffineTransform,
  size: number,
  firstRow: number,
): AffineTransform {
  return {
    x: x * size,
    y: y * size - firstRow,
    acrossX: acrossX * size,
    acrossY: acrossY * size,
    downX: downX * size,
    downY: downY * size,
  };
}
