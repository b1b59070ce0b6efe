import { mouthCorners, leftEyeCorners, rightEyeCorners } from '../face/landmarks.ts';
import type { Plane } from '../image/planes.ts';
import { areaWithin, meansOf, type RelativeArea } from './picture-hash.ts';

const mouthColumns = 5;
const mouthRows = 4;
export const mouthCells = mouthColumns * mouthRows;
/** Size of the region around the mouth, relative to the distance of the outer corners of the eyes. */
const regionWidth = 0.9;
const regionHeight = 0.8;
/** Distance of the middle of the region from the corners of the mouth, in heights of the region: the jaw moves down. */
const shiftDown = 0.1;
/** Luma by which a stored mouth moves at least, root mean square: less is noise of the codec. */
const minMotion = 1.5;

/** The region of the mouth in a picture, by its landmarks; undefined for a face that is not completely in the picture. */
export function mouthAreaOf(
  points: Float32Array,
  { width, height }: Pick<Plane, 'width' | 'height'>,
): RelativeArea | undefined {
  const [right, left] = mouthCorners.outer;
  const scale = Math.hypot(
    (points[rightEyeCorners[0] * 3] ?? 0) - (points[leftEyeCorners[0] * 3] ?? 0),
    (points[rightEyeCorners[0] * 3 + 1] ?? 0) - (points[leftEyeCorners[0] * 3 + 1] ?? 0),
  );
  const [areaWidth, areaHeight] = [scale * regionWidth, scale * regionHeight];
  const centerX = ((points[right * 3] ?? 0) + (points[left * 3] ?? 0)) / 2;
  const centerY = ((points[right * 3 + 1] ?? 0) + (points[left * 3 + 1] ?? 0)) / 2 + shiftDown * areaHeight;
  const area = {
    left: (centerX - areaWidth / 2) / width,
    top: (centerY - areaHeight / 2) / height,
    width: areaWidth / width,
    height: areaHeight / height,
  };
  const isInside = area.left >= 0 && area.top >= 0 && area.left + area.width <= 1 && area.top + area.height <= 1;
  return isInside && area.width > 0 ? area : undefined;
}

/** Mean luma of the cells of a mouth region, in a plane whose part `picture` shows the picture. */
export function mouthCellsOf(plane: Plane, mouth: RelativeArea, picture: RelativeArea): Float32Array {
  return meansOf(plane, areaWithin(picture, mouth), mouthColumns, mouthRows);
}

/**
 * Similarity of the motion of a mouth to that of a stored one, −1 to 1: the correlation of the changes of their cells.
 * Null if the stored mouth hardly moves, so that no motion can be found again; 0 if only the other one is still. Rows of
 * `mouthCells` values.
 */
export function compareMouths(stored: readonly Float32Array[], found: readonly Float32Array[]): number | null {
  const [storedMotion, foundMotion] = [motionOf(stored), motionOf(found)];
  let [storedSquares, foundSquares, products, count] = [0, 0, 0, 0];
  for (const [index, value] of storedMotion.entries()) {
    const paired = foundMotion[index] ?? NaN;
    if (Number.isNaN(value) || Number.isNaN(paired)) continue;
    storedSquares += value * value;
    foundSquares += paired * paired;
    products += value * paired;
    count += 1;
  }
  if (count === 0 || storedSquares < count * minMotion * minMotion) return null;
  // A small copy moves less than its output, and the noise of a still picture correlates with nothing: no minimum here.
  return foundSquares > 0 ? products / Math.sqrt(storedSquares * foundSquares) : 0;
}

/**
 * Differences from the row before, without the brightness of the whole region. A head moves more slowly than lips, so
 * that its motion, which all takes of a clip share, counts little.
 */
function motionOf(rows: readonly Float32Array[]): Float32Array {
  const motion = new Float32Array(Math.max(0, rows.length - 1) * mouthCells);
  for (let start = 0; start < motion.length; start += mouthCells) {
    const [before, row] = [rows[start / mouthCells], rows[start / mouthCells + 1]];
    const change = motion.subarray(start, start + mouthCells);
    for (let cell = 0; cell < mouthCells; cell += 1) change[cell] = (row?.[cell] ?? 0) - (before?.[cell] ?? 0);
    const mean = change.reduce((sum, value) => sum + value, 0) / mouthCells;
    for (let cell = 0; cell < mouthCells; cell += 1) change[cell] = (change[cell] ?? 0) - mean;
  }
  return motion;
}
