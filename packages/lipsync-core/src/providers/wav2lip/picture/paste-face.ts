import { colorMatrixOf, fromBgr, type ColorMatrix } from '../../../image/color-matrix.ts';
import { toByte } from '../../../image/math.ts';
import { PlaneBlender } from '../../../image/plane-blender.ts';
import {
  planesOf,
  toChromaTarget,
  type AffineTransform,
  type ColorTags,
  type Picture,
  type PixelArea,
  type Plane,
} from '../../../image/planes.ts';
import { ColorMatcher, identityLevels, type CropPair } from './color-match.ts';
import { cropToPicture, pictureToCrop, type FacePlacement } from './face-crop.ts';
import { maskSidePx, MouthMaskRenderer, type MouthMask } from './mouth-mask.ts';
import { SharpnessMatcher, sharpenRows } from './sharpness-match.ts';

export interface FacePasterOptions {
  /** Whether the colors of the generated face are matched to the clip. */
  readonly colorMatch: boolean;
  /** Whether the generated face is sharpened to match the clip. */
  readonly sharpen: boolean;
  /** Side of the crops. */
  readonly cropSizePx: number;
  readonly color: ColorTags;
}

export interface FacePaste {
  /** Modified in place. */
  readonly picture: Picture;
  readonly placement: FacePlacement;
  /** Face mesh landmarks: x, y, z triples in pixels of the picture. */
  readonly points: Float32Array;
  /** The generated face and the original crop: `cropSizePx² × 3` BGR bytes each. */
  readonly generated: Uint8Array;
  readonly source: Uint8Array;
  /** Opacity of the generated mouth and jaw, 0 to 1. */
  readonly strength: number;
}

/**
 * Blends generated faces into the pictures of one clip. Keeps buffers and color and sharpness estimates between frames,
 * so it must not be shared between threads.
 */
export class FacePaster {
  readonly #options: FacePasterOptions;
  readonly #masks = new MouthMaskRenderer();
  readonly #planes: GeneratedPlanes;
  readonly #blender = new PlaneBlender();
  readonly #area: PixelArea = { left: 0, top: 0, right: 0, bottom: 0 };
  #matrix: ColorMatrix | undefined;

  constructor(options: FacePasterOptions) {
    this.#options = options;
    this.#planes = new GeneratedPlanes(options);
  }

  /**
   * Replaces mouth and jaw through a feathered mask. Bytes outside of the mask stay identical. Returns the number of
   * bytes written.
   */
  paste({ picture, placement, points, generated, source, strength }: FacePaste): number {
    if (!(strength > 0)) return 0;
    const area = this.#area;
    const mask = this.#masks.render(placement, points);
    setCoveredArea(area, mask, placement, picture);
    if (area.left >= area.right || area.top >= area.bottom) return 0;
    const { cropSizePx, color } = this.#options;
    this.#matrix ??= colorMatrixOf(color, picture.height);
    const face = this.#planes.convert(this.#matrix, mask, { source, generated, sidePx: cropSizePx });
    const planes = planesOf(picture);
    // Transforms to the box as a 1 × 1 unit square, which are then scaled to mask pixels and crop pixels.
    const lumaToBox = withTargetOrigin(pictureToCrop(placement, 1, 1), area.left, area.top);
    const chromaToBox = toChromaTarget(lumaToBox);
    const lumaToCrop = withSourceSize(lumaToBox, cropSizePx, face.firstRow);
    const chromaToCrop = withSourceSize(chromaToBox, cropSizePx, face.firstRow);
    const alpha: Plane = { data: mask.coverage, start: 0, width: maskSidePx, height: maskSidePx };
    this.#blender.setAlpha(alpha, withSourceSize(chromaToBox, maskSidePx, 0), area, strength);
    return (
      this.#blender.blend(planes.luma, face.luma, lumaToCrop, 2) +
      this.#blender.blend(planes.cb, face.cb, chromaToCrop, 1) +
      this.#blender.blend(planes.cr, face.cr, chromaToCrop, 1)
    );
  }

  /** The first row of the generated face that `paste` reads. */
  firstRow(placement: FacePlacement, points: Float32Array): number {
    const { cropSizePx } = this.#options;
    const top = Math.floor((this.#masks.topRow(placement, points) / maskSidePx) * cropSizePx);
    return Math.max(0, top - kernelRows - blurRows);
  }

  /** Call before the first frame of a new shot: discards the color and sharpness estimates. */
  startShot(): void {
    this.#planes.reset();
  }
}

/** The rows of the generated crop under the mask as Y'CbCr planes. */
interface FacePlanes {
  readonly luma: Plane;
  readonly cb: Plane;
  readonly cr: Plane;
  /** Crop row of the first row of the planes. */
  readonly firstRow: number;
}

/** Additional rows above and below the mask that the resampling kernel reads. */
const kernelRows = 3;
/** Additional rows that sharpening reads. */
const blurRows = 1;

/** Converts generated crops to planes with matched color and sharpness. */
class GeneratedPlanes {
  readonly #options: FacePasterOptions;
  readonly #colors = new ColorMatcher();
  readonly #sharpness: SharpnessMatcher;
  readonly #identityLevels = identityLevels();
  readonly #values: { readonly luma: Float32Array; readonly cb: Float32Array; readonly cr: Float32Array };
  readonly #bytes: { readonly luma: Uint8Array; readonly cb: Uint8Array; readonly cr: Uint8Array };

  constructor(options: FacePasterOptions) {
    const pixels = options.cropSizePx ** 2;
    this.#options = options;
    this.#sharpness = new SharpnessMatcher(options.cropSizePx);
    this.#values = { luma: new Float32Array(pixels), cb: new Float32Array(pixels), cr: new Float32Array(pixels) };
    this.#bytes = { luma: new Uint8Array(pixels), cb: new Uint8Array(pixels), cr: new Uint8Array(pixels) };
  }

  /** The planes are valid until the next call. */
  convert(matrix: ColorMatrix, mask: MouthMask, crops: CropPair): FacePlanes {
    const { cropSizePx, colorMatch, sharpen } = this.#options;
    if (colorMatch) this.#colors.observe(mask, crops);
    const amount = sharpen ? this.#sharpness.observe(mask, crops) : 0;
    const firstRow = Math.max(0, Math.floor((mask.area.top / maskSidePx) * cropSizePx) - kernelRows);
    const endRow = Math.min(cropSizePx, Math.ceil((mask.area.bottom / maskSidePx) * cropSizePx) + kernelRows);
    const first = firstRow * cropSizePx;
    const end = endRow * cropSizePx;
    const levels = colorMatch ? this.#colors.levels : this.#identityLevels;
    fromBgr(matrix, { bgr: crops.generated, levels, first, end }, this.#values);
    if (amount === 0) toBytes(this.#values.luma, first, end, this.#bytes.luma);
    else sharpenRows(this.#values.luma, this.#bytes.luma, { sizePx: cropSizePx, firstRow, endRow, amount });
    toBytes(this.#values.cb, first, end, this.#bytes.cb);
    toBytes(this.#values.cr, first, end, this.#bytes.cr);
    const plane = (data: Uint8Array): Plane => ({ data, start: first, width: cropSizePx, height: endRow - firstRow });
    return { luma: plane(this.#bytes.luma), cb: plane(this.#bytes.cb), cr: plane(this.#bytes.cr), firstRow };
  }

  reset(): void {
    this.#colors.reset();
    this.#sharpness.reset();
  }
}

function toBytes(values: Float32Array, first: number, end: number, bytes: Uint8Array): void {
  for (let index = first; index < end; index += 1) bytes[index] = toByte(values[index] ?? 0);
}

/** Sets `area` to the part of the picture that the mask can affect, aligned to chroma pixels. */
function setCoveredArea(
  area: PixelArea,
  { area: maskArea }: MouthMask,
  placement: FacePlacement,
  { width, height }: Picture,
): void {
  const { x, y, acrossX, acrossY, downX, downY } = cropToPicture(placement, maskSidePx, maskSidePx);
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (let corner = 0; corner < 4; corner += 1) {
    // Interpolation between mask pixel centers extends the mask by half a mask pixel.
    const column = corner & 1 ? maskArea.right + 0.5 : maskArea.left - 0.5;
    const row = corner & 2 ? maskArea.bottom + 0.5 : maskArea.top - 0.5;
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

/** The same transform for a target whose origin is at (`left`, `top`). */
function withTargetOrigin(transform: AffineTransform, left: number, top: number): AffineTransform {
  const { x, y, acrossX, acrossY, downX, downY } = transform;
  return { ...transform, x: x + acrossX * left + downX * top, y: y + acrossY * left + downY * top };
}

/** The same transform for a source of `sidePx × sidePx` instead of 1 × 1, which starts at row `firstRow`. */
function withSourceSize(
  { x, y, acrossX, acrossY, downX, downY }: AffineTransform,
  sidePx: number,
  firstRow: number,
): AffineTransform {
  return {
    x: x * sidePx,
    y: y * sidePx - firstRow,
    acrossX: acrossX * sidePx,
    acrossY: acrossY * sidePx,
    downX: downX * sidePx,
    downY: downY * sidePx,
  };
}
