import type { Plane } from '../image/planes.ts';

/** A rectangle in shares of the width and height of a picture. */
export interface RelativeArea {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const wholePicture: RelativeArea = Object.freeze({ left: 0, top: 0, width: 1, height: 1 });
/** Side of the thumbnail that stands for a picture. */
export const thumbnailSide = 20;
/** The part of a picture that is hashed: a crop or a border leaves it in the picture. */
const hashedArea: RelativeArea = Object.freeze({ left: 0.2, top: 0.2, width: 0.6, height: 0.6 });
const hashSide = 8;
/** Neighboring cells that differ by less are equal: in even areas a codec decides the sign. */
const minDifference = 2;
/** Pixels that are read per cell and direction at most. */
const maxReads = 12;

/** Mean luma of each cell of a grid over an area, row by row. Cells outside of the picture are NaN. */
export function meansOf(plane: Plane, area: RelativeArea, columns: number, rows: number): Float32Array {
  const means = new Float32Array(columns * rows);
  const cellWidth = (area.width * plane.width) / columns;
  const cellHeight = (area.height * plane.height) / rows;
  for (let row = 0; row < rows; row += 1) {
    const top = area.top * plane.height + row * cellHeight;
    for (let column = 0; column < columns; column += 1) {
      const left = area.left * plane.width + column * cellWidth;
      means[row * columns + column] = meanOfCell(plane, left, top, cellWidth, cellHeight);
    }
  }
  return means;
}

/** NaN for a cell outside of the picture, up to half a pixel. */
function meanOfCell({ data, start, width, height }: Plane, ...cell: readonly [number, number, number, number]): number {
  const [left, top, cellWidth, cellHeight] = cell;
  const [firstX, firstY] = [Math.round(left), Math.round(top)];
  const endX = Math.max(firstX + 1, Math.round(left + cellWidth));
  const endY = Math.max(firstY + 1, Math.round(top + cellHeight));
  if (firstX < 0 || firstY < 0 || endX > width || endY > height) return NaN;
  const stepX = Math.ceil((endX - firstX) / maxReads);
  const stepY = Math.ceil((endY - firstY) / maxReads);
  let sum = 0;
  let count = 0;
  for (let y = firstY; y < endY; y += stepY) {
    const row = start + y * width;
    for (let x = firstX; x < endX; x += stepX) {
      sum += data[row + x] ?? 0;
      count += 1;
    }
  }
  return sum / count;
}

/**
 * A hash of the middle of a picture: a bit per cell, 1 if it is brighter than its left neighbor (dHash). The words have
 * 32 bits each.
 */
export type PictureHash = readonly [number, number];

/** Hashes the middle of the picture that `area` of a plane shows; undefined if it does not show it completely. */
export function hashPicture(plane: Plane, area: RelativeArea): PictureHash | undefined {
  const cells = meansOf(plane, areaWithin(area, hashedArea), hashSide + 1, hashSide);
  const words = [0, 0];
  for (let bit = 0; bit < hashSide * hashSide; bit += 1) {
    const cell = bit + Math.floor(bit / hashSide);
    const difference = (cells[cell + 1] ?? 0) - (cells[cell] ?? 0);
    if (Number.isNaN(difference)) return undefined;
    const word = bit >> 5;
    if (difference >= minDifference) words[word] = (words[word] ?? 0) | (1 << (bit & 31));
  }
  return [(words[0] ?? 0) >>> 0, (words[1] ?? 0) >>> 0];
}

/** The place of `inner`, a part of a picture, when the picture fills `outer`. */
export function areaWithin(outer: RelativeArea, inner: RelativeArea): RelativeArea {
  return {
    left: outer.left + inner.left * outer.width,
    top: outer.top + inner.top * outer.height,
    width: inner.width * outer.width,
    height: inner.height * outer.height,
  };
}

/**
 * The parts of a copy that may show the picture of an output: all of it, what is within a border, or beyond its edges where
 * the copy is cropped.
 */
export function* likelyAreas(): Generator<RelativeArea> {
  const borders = [1, 0.94, 0.88, 0.82, 0.75];
  for (const width of borders)
    for (const height of borders) yield { left: (1 - width) / 2, top: (1 - height) / 2, width, height };
  for (const kept of [0.95, 0.9, 0.85, 0.8]) {
    const size = 1 / kept;
    for (const across of [0, 0.5, 1])
      for (const down of [0, 0.5, 1])
        yield { left: (1 - size) * across, top: (1 - size) * down, width: size, height: size };
    yield { left: (1 - size) / 2, top: 0, width: size, height: 1 };
    yield { left: 0, top: (1 - size) / 2, width: 1, height: size };
  }
}

/** Correlation of two equally long lists, −1 to 1, over the places where both have a value, and how many these are. */
export function correlate(
  one: ArrayLike<number>,
  other: ArrayLike<number>,
): { readonly correlation: number; readonly count: number } {
  let [count, sumOne, sumOther, squaresOne, squaresOther, products] = [0, 0, 0, 0, 0, 0];
  for (let index = 0; index < one.length; index += 1) {
    const [a, b] = [one[index] ?? NaN, other[index] ?? NaN];
    if (Number.isNaN(a) || Number.isNaN(b)) continue;
    count += 1;
    sumOne += a;
    sumOther += b;
    squaresOne += a * a;
    squaresOther += b * b;
    products += a * b;
  }
  const varianceOne = squaresOne - (sumOne * sumOne) / count;
  const varianceOther = squaresOther - (sumOther * sumOther) / count;
  const scale = Math.sqrt(varianceOne * varianceOther);
  // A picture of one color resembles none.
  return { correlation: scale > count ? (products - (sumOne * sumOther) / count) / scale : 0, count };
}
