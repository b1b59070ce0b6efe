import { leftEyeCorners, outerLips, rightEyeCorners } from '../../face/landmarks.ts';
import type { Registration, RgbFrame } from './picture-registration.ts';
import { lumaAt } from './picture-registration.ts';

/** A rotated grid of cells in a clip frame; positions and sizes in pixels. */
export interface PatchArea {
  readonly centerX: number;
  readonly centerY: number;
  /** Unit vector along the rows, from the left eye to the right one. */
  readonly acrossX: number;
  readonly acrossY: number;
  readonly columns: number;
  readonly rows: number;
  readonly cell: number;
}

/** The mouth, which a provider redraws, and the eyes and nose, which it leaves. */
export interface FaceAreas {
  readonly mouth: PatchArea;
  readonly eyes: PatchArea;
}

/** Cells are large enough to average out the noise of a codec. Shares of the distance between the eyes. */
const cellShare = 0.065;
const noseShare = 0.15;
/** Smaller faces cannot be judged. */
const minimumEyeDistancePx = 14;

/** Returns the areas of a face from its landmarks, or undefined when it is too small. */
export function findFaceAreas(points: Float32Array): FaceAreas | undefined {
  const left = centerOf(points, leftEyeCorners);
  const right = centerOf(points, rightEyeCorners);
  const distance = Math.hypot(right.x - left.x, right.y - left.y);
  if (!(distance >= minimumEyeDistancePx)) return undefined;
  const mouth = centerOf(points, outerLips);
  const acrossX = (right.x - left.x) / distance;
  const acrossY = (right.y - left.y) / distance;
  const grid = { acrossX, acrossY, cell: distance * cellShare };
  const down = distance * noseShare;
  return {
    mouth: { ...grid, centerX: mouth.x, centerY: mouth.y, columns: 18, rows: 14 },
    eyes: {
      ...grid,
      centerX: (left.x + right.x) / 2 - acrossY * down,
      centerY: (left.y + right.y) / 2 + acrossX * down,
      columns: 28,
      rows: 12,
    },
  };
}

function centerOf(points: Float32Array, indices: readonly number[]): { readonly x: number; readonly y: number } {
  const mean = (axis: number): number =>
    indices.reduce((sum, index) => sum + (points[index * 3 + axis] ?? NaN), 0) / indices.length;
  return { x: mean(0), y: mean(1) };
}

/** The position of a patch in another picture than its clip frame. */
export interface PatchPlacement {
  readonly registration: Registration;
  /** Size of the clip frame. */
  readonly width: number;
  readonly height: number;
  /** Offset along and across the rows, in pixels of the clip frame. */
  readonly across: number;
  readonly down: number;
}

/** Points per cell and direction. */
const pointsPerCell = 2;

/** Mean luma of each cell, row by row. Points outside the picture take the nearest pixel. */
export function samplePatch(frame: RgbFrame, area: PatchArea, placement?: PatchPlacement): Float32Array {
  const { columns, rows, cell, acrossX, acrossY } = area;
  const values = new Float32Array(columns * rows);
  const step = cell / pointsPerCell;
  for (let row = 0; row < rows * pointsPerCell; row += 1) {
    const down = (row + 0.5) * step - (rows * cell) / 2 + (placement?.down ?? 0);
    for (let column = 0; column < columns * pointsPerCell; column += 1) {
      const across = (column + 0.5) * step - (columns * cell) / 2 + (placement?.across ?? 0);
      const x = area.centerX + across * acrossX - down * acrossY;
      const y = area.centerY + across * acrossY + down * acrossX;
      const luma = placement
        ? interpolate(frame, toTakeX(x, frame, placement), toTakeY(y, frame, placement))
        : interpolate(frame, x, y);
      const target = Math.floor(row / pointsPerCell) * columns + Math.floor(column / pointsPerCell);
      values[target] = (values[target] ?? 0) + luma / pointsPerCell ** 2;
    }
  }
  return values;
}

function toTakeX(x: number, { width: takeWidth }: RgbFrame, { registration, width }: PatchPlacement): number {
  return (registration.scaleX * (x / width - 0.5) + registration.shiftX + 0.5) * takeWidth;
}

function toTakeY(y: number, { height: takeHeight }: RgbFrame, { registration, height }: PatchPlacement): number {
  return (registration.scaleY * (y / height - 0.5) + registration.shiftY + 0.5) * takeHeight;
}

/** Luma at a position whose pixel centers are at halves. */
function interpolate(frame: RgbFrame, x: number, y: number): number {
  const { width, height } = frame;
  const left = Math.min(Math.max(x - 0.5, 0), width - 1.001);
  const top = Math.min(Math.max(y - 0.5, 0), height - 1.001);
  const [right, down] = [left % 1, top % 1];
  const pixel = Math.floor(top) * width + Math.floor(left);
  const upper = lumaAt(frame, pixel) * (1 - right) + lumaAt(frame, pixel + 1) * right;
  const lower = lumaAt(frame, pixel + width) * (1 - right) + lumaAt(frame, pixel + width + 1) * right;
  return upper * (1 - down) + lower * down;
}

export interface PatchDifference {
  /** Root mean square of what remains after brightness and contrast are matched, in levels. */
  readonly rms: number;
  /** Standard deviation of the first patch, in levels. */
  readonly contrast: number;
}

/** A vendor may change the contrast within these factors. */
const contrastChange = { least: 0.7, most: 1.4 };

/** Compares two patches of the same size, apart from brightness and contrast. */
export function comparePatches(first: Float32Array, second: Float32Array): PatchDifference {
  const meanFirst = first.reduce((sum, value) => sum + value, 0) / first.length;
  const meanSecond = second.reduce((sum, value) => sum + value, 0) / second.length;
  let [square, product] = [0, 0];
  first.forEach((value, index) => {
    square += (value - meanFirst) ** 2;
    product += (value - meanFirst) * ((second[index] ?? 0) - meanSecond);
  });
  const factor = Math.min(contrastChange.most, Math.max(contrastChange.least, square > 0 ? product / square : 1));
  let rest = 0;
  first.forEach((value, index) => {
    rest += ((second[index] ?? 0) - meanSecond - factor * (value - meanFirst)) ** 2;
  });
  return { rms: Math.sqrt(rest / first.length), contrast: Math.sqrt(square / first.length) };
}
