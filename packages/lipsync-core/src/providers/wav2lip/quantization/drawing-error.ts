import { blockPx, ssimOfBlocks } from '../../../image/ssim.ts';
import { faceBytes } from '../engine/engine-protocol.ts';
import { officialCropSizePx } from '../model/model-facts.ts';
import { maskSidePx } from '../picture/mouth-mask.ts';
import type { CalibrationFaces } from './calibration-faces.ts';

/** How drawings differ from those of the float32 form, inside the paste mask. */
export interface DrawingError {
  /** Mean and largest difference of a color value, in levels of 255. */
  readonly meanLevels: number;
  readonly worstLevels: number;
  /** Mean SSIM of luma over the 8 × 8 blocks inside the mask; null when no block fits. */
  readonly ssim: number | null;
}

/** Distance of the blocks that are compared. */
const blockStepPx = 4;
const side = officialCropSizePx;
const maskScale = side / maskSidePx;

/** Compares drawings of all faces, both count × 96 × 96 × 3 BGR bytes. */
export function compareDrawings(drawn: Uint8Array, expected: Uint8Array, faces: CalibrationFaces): DrawingError {
  let [sum, values, worst] = [0, 0, 0];
  const similarities: number[] = [];
  for (let face = 0; face < faces.count; face += 1) {
    const mask = faces.masks.subarray(face * maskSidePx ** 2, (face + 1) * maskSidePx ** 2);
    const [a, b] = [drawn, expected].map((all) => all.subarray(face * faceBytes(side), (face + 1) * faceBytes(side)));
    if (!a || !b) continue;
    for (let index = 0; index < a.length; index += 1) {
      const pixel = Math.floor(index / 3);
      if (!isPasted(mask, pixel % side, Math.floor(pixel / side))) continue;
      const difference = Math.abs((a[index] ?? 0) - (b[index] ?? 0));
      sum += difference;
      values += 1;
      worst = Math.max(worst, difference);
    }
    similarities.push(similarityInside(lumaOf(a), lumaOf(b), mask));
  }
  const measured = similarities.filter((value) => !Number.isNaN(value));
  return {
    meanLevels: values === 0 ? 0 : sum / values,
    worstLevels: worst,
    ssim: measured.length === 0 ? null : measured.reduce((total, value) => total + value, 0) / measured.length,
  };
}

function similarityInside(a: Uint8Array, b: Uint8Array, mask: Uint8Array): number {
  const far = blockPx - 1;
  return ssimOfBlocks({ a, b, width: side, height: side, stepPx: blockStepPx }, (left, top) =>
    [left, left + far].every((column) => [top, top + far].every((row) => isPasted(mask, column, row))),
  );
}

function isPasted(mask: Uint8Array, column: number, row: number): boolean {
  return (mask[Math.floor(row / maskScale) * maskSidePx + Math.floor(column / maskScale)] ?? 0) > 0;
}

/** Luma of BT.601, as SSIM is defined on. */
function lumaOf(bgr: Uint8Array): Uint8Array {
  return Uint8Array.from(
    { length: bgr.length / 3 },
    (_, pixel) => 0.114 * (bgr[3 * pixel] ?? 0) + 0.587 * (bgr[3 * pixel + 1] ?? 0) + 0.299 * (bgr[3 * pixel + 2] ?? 0),
  );
}
