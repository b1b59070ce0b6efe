import type { ColorMatrix } from '../../image/color-matrix.ts';
import { planesOf, toChromaSource, type Picture, type Plane } from '../../image/planes.ts';
import type { PictureArea } from '../../media/index.ts';
import type { FaceBox } from './face-boxes.ts';
import { frameSidePx } from './syncnet-network.ts';

/** Margin around the half side of the box, as crop_scale in run_pipeline.py. */
const cropScale = 0.4;
/** Level of the pixels outside of the picture. */
const paddingLevel = 110;
const pixels = frameSidePx * frameSidePx;

/** Values of one cropped frame: planes of blue, green and red, 0–255. */
export const croppedLength = 3 * pixels;

/**
 * Cuts the face out of pictures as run_pipeline.py does: rows from half a side above the center to 1.8 half sides below it,
 * 1.4 half sides to the left and right, scaled to 224 × 224 by bilinear interpolation without a filter against aliases.
 * Keeps its memory between calls.
 */
export class FaceCropper {
  readonly #matrix: ColorMatrix;
  readonly #luma = new BilinearRows();
  readonly #cb = new BilinearRows();
  readonly #cr = new BilinearRows();

  constructor(matrix: ColorMatrix) {
    this.#matrix = matrix;
  }

  /** Writes `croppedLength` values to `output`. */
  crop(picture: Picture, { centerX, centerY, halfSide }: FaceBox, output: Uint8Array): void {
    const step = (halfSide * 2 * (1 + cropScale)) / frameSidePx;
    const [left, top] = [centerX - halfSide * (1 + cropScale), centerY - halfSide];
    const transform = { x: left, y: top, acrossX: step, acrossY: 0, downX: 0, downY: step };
    const chroma = toChromaSource(transform);
    const { luma, cb, cr } = planesOf(picture);
    this.#luma.setColumns(luma, transform.x, transform.acrossX);
    this.#cb.setColumns(cb, chroma.x, chroma.acrossX);
    this.#cr.setColumns(cr, chroma.x, chroma.acrossX);
    const first = clampIndex(Math.ceil(-left / step - 0.5));
    const end = clampIndex(Math.ceil((picture.width - left) / step - 0.5));
    for (let row = 0; row < frameSidePx; row += 1) {
      const y = top + (row + 0.5) * step;
      const start = row * frameSidePx;
      if (y < 0 || y >= picture.height) {
        fillPadding(output, start, frameSidePx);
        continue;
      }
      const chromaY = chroma.y + (row + 0.5) * chroma.downY;
      const levels = { luma: this.#luma.read(luma, y), cb: this.#cb.read(cb, chromaY), cr: this.#cr.read(cr, chromaY) };
      writeRow(this.#matrix, levels, { output, start });
      fillPadding(output, start, first);
      fillPadding(output, start + end, frameSidePx - end);
    }
  }
}

/** Pixels around the crops that interpolation reads, and more. */
const areaMarginPx = 4;

/** The part of a picture that the crops of boxes read. */
export function areaOfBoxes(
  boxes: readonly FaceBox[],
  { width, height }: { readonly width: number; readonly height: number },
): PictureArea {
  const sides = boxes.map(({ centerX, centerY, halfSide }) => ({
    left: centerX - halfSide * (1 + cropScale),
    top: centerY - halfSide,
    size: halfSide * 2 * (1 + cropScale),
  }));
  const across = evenRange(
    Math.min(...sides.map(({ left }) => left)),
    Math.max(...sides.map(({ left, size }) => left + size)),
    width,
  );
  const down = evenRange(
    Math.min(...sides.map(({ top }) => top)),
    Math.max(...sides.map(({ top, size }) => top + size)),
    height,
  );
  return { x: across.start, width: across.end - across.start, y: down.start, height: down.end - down.start };
}

/** A range with its margin, within a picture, in even numbers; at least two pixels long. */
function evenRange(low: number, high: number, length: number): { readonly start: number; readonly end: number } {
  const even = (value: number): number => 2 * Math.floor(value / 2);
  const start = Math.min(Math.max(even(low - areaMarginPx), 0), length - 2);
  return { start, end: Math.min(Math.max(even(high + areaMarginPx) + 2, start + 2), length) };
}

/** Reads rows of a plane at the columns of the crop: between two rows of the plane first, then between its columns. */
class BilinearRows {
  readonly #values = new Float32Array(frameSidePx);
  /** Index of the left one of the two pixels of each column, from `#first` on, and the weight of the right one. */
  readonly #pixel = new Int32Array(frameSidePx);
  readonly #weight = new Float32Array(frameSidePx);
  #line = new Float32Array(0);
  #first = 0;
  #end = 0;

  /** Positions count from the corner of the first pixel. Those outside of the plane take the value of its edge. */
  setColumns({ width }: Plane, x: number, step: number): void {
    const positionOf = (column: number): number => Math.min(Math.max(x + (column + 0.5) * step - 0.5, 0), width - 1);
    this.#first = Math.floor(positionOf(0));
    this.#end = Math.min(width, Math.floor(positionOf(frameSidePx - 1)) + 2);
    // One more, which the right edge of the plane reads with weight 0.
    if (this.#line.length <= this.#end - this.#first) this.#line = new Float32Array(this.#end - this.#first + 1);
    for (let column = 0; column < frameSidePx; column += 1) {
      const position = positionOf(column);
      this.#pixel[column] = Math.floor(position) - this.#first;
      this.#weight[column] = position - Math.floor(position);
    }
  }

  /** The values of a row, valid until the next call. */
  read({ data, start, width, height }: Plane, y: number): Float32Array {
    const position = Math.min(Math.max(y - 0.5, 0), height - 1);
    const row = Math.floor(position);
    const below = position - row;
    const upper = start + row * width + this.#first;
    const lower = start + Math.min(row + 1, height - 1) * width + this.#first;
    const [values, line, pixel, weight] = [this.#values, this.#line, this.#pixel, this.#weight];
    for (let index = 0; index < this.#end - this.#first; index += 1) {
      const level = data[upper + index] ?? 0;
      line[index] = level + ((data[lower + index] ?? 0) - level) * below;
    }
    for (let column = 0; column < frameSidePx; column += 1) {
      const left = pixel[column] ?? 0;
      const level = line[left] ?? 0;
      values[column] = level + ((line[left + 1] ?? 0) - level) * (weight[column] ?? 0);
    }
    return values;
  }
}

/** Converts a row to planes of blue, green and red, rounded as in a picture of 8 bits. */
function writeRow(
  { blackLuma, lumaScale, redWeight, greenWeight, blueWeight, cbScale, crScale }: ColorMatrix,
  { luma, cb, cr }: Readonly<Record<'luma' | 'cb' | 'cr', Float32Array>>,
  { output, start }: { readonly output: Uint8Array; readonly start: number },
): void {
  const [gain, bluePerCb, redPerCr] = [1 / lumaScale, 1 / cbScale, 1 / crScale];
  const [greenPerCb, greenPerCr] = [(blueWeight / greenWeight) * bluePerCb, (redWeight / greenWeight) * redPerCr];
  for (let column = 0; column < frameSidePx; column += 1) {
    const level = ((luma[column] ?? 0) - blackLuma) * gain + 0.5;
    const blue = (cb[column] ?? 0) - 128;
    const red = (cr[column] ?? 0) - 128;
    const pixel = start + column;
    output[pixel] = toLevel(level + blue * bluePerCb);
    output[pixel + pixels] = toLevel(level - blue * greenPerCb - red * greenPerCr);
    output[pixel + 2 * pixels] = toLevel(level + red * redPerCr);
  }
}

function toLevel(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value | 0;
}

function fillPadding(output: Uint8Array, start: number, count: number): void {
  for (let color = 0; color < 3; color += 1)
    output.fill(paddingLevel, color * pixels + start, color * pixels + start + count);
}

function clampIndex(column: number): number {
  return Math.min(Math.max(column, 0), frameSidePx);
}
