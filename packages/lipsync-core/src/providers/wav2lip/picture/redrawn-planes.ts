import { createColorMatcher, unchangedLevels } from './color-match.ts';
import { fromBgr, type ColorMatrix } from '../../../image/color-matrix.ts';
import { toByte } from '../../../image/math.ts';
import { maskCells, type MouthMask } from './mouth-mask.ts';
import type { Plane } from '../../../image/planes.ts';
import { createSharpnessMatcher, sharpenRows } from './sharpness-match.ts';

/** The redrawn face as planes of the picture's kind: those rows of the crop that the mask covers. */
export interface RedrawnPlanes {
  readonly luma: Plane;
  readonly blue: Plane;
  readonly red: Plane;
  /** The crop's row that the planes begin with. */
  readonly firstRow: number;
}

export interface RedrawnPlaneMaker {
  /** KeyedMutex the redrawn crop into planes in the shade and sharpness it is to have. They are valid until the next call. */
  make(matrix: ColorMatrix, mask: MouthMask, source: Uint8Array, generated: Uint8Array): RedrawnPlanes;
  /** Finds shade and sharpness anew with the next frame. */
  reset(): void;
}

/** Rows that resampling looks at beyond those it shows. */
const marginRows = 3;

export function createRedrawnPlaneMaker({
  cropSizePx,
  colorMatch,
  sharpen,
}: {
  cropSizePx: number;
  colorMatch: boolean;
  sharpen: boolean;
}): RedrawnPlaneMaker {
  const pixels = cropSizePx * cropSizePx;
  const colors = createColorMatcher(cropSizePx);
  const sharpness = createSharpnessMatcher(cropSizePx);
  const plainLevels = unchangedLevels();
  const luma = new Float32Array(pixels);
  const blue = new Float32Array(pixels);
  const red = new Float32Array(pixels);
  const lumaBytes = new Uint8Array(pixels);
  const blueBytes = new Uint8Array(pixels);
  const redBytes = new Uint8Array(pixels);
  return {
    make(matrix, mask, source, generated) {
      if (colorMatch) colors.observe(mask, source, generated);
      const amount = sharpen ? sharpness.observe(mask, source, generated) : 0;
      const firstRow = Math.max(0, Math.floor((mask.area.top / maskCells) * cropSizePx) - marginRows);
      const endRow = Math.min(cropSizePx, Math.ceil((mask.area.bottom / maskCells) * cropSizePx) + marginRows);
      const first = firstRow * cropSizePx;
      const end = endRow * cropSizePx;
      fromBgr(
        matrix,
        { bgr: generated, levels: colorMatch ? colors.levels : plainLevels, first, end },
        { luma, cb: blue, cr: red },
      );
      if (amount === 0) toBytes(luma, first, end, lumaBytes);
      else sharpenRows(luma, cropSizePx, firstRow, endRow, amount, lumaBytes);
      toBytes(blue, first, end, blueBytes);
      toBytes(red, first, end, redBytes);
      const plane = (data: Uint8Array): Plane => ({ data, start: first, width: cropSizePx, height: endRow - firstRow });
      return { luma: plane(lumaBytes), blue: plane(blueBytes), red: plane(redBytes), firstRow };
    },
    reset() {
      colors.reset();
      sharpness.reset();
    },
  };
}

function toBytes(values: Float32Array, first: number, end: number, bytes: Uint8Array): void {
  for (let index = first; index < end; index += 1) bytes[index] = toByte(values[index] ?? 0);
}
