import { colorMatrixOf } from '../../image/color-matrix.ts';
import type { ColorTags, Picture } from '../../media/index.ts';
import { speakerCropPx } from './speaker-network.ts';

/** The box of a face as the network was trained with it: center and half the longer side, in pixels. */
export interface SpeakerBox {
  readonly x: number;
  readonly y: number;
  readonly halfSide: number;
}

/**
 * Size and center of the detected box relative to the height of the landmarks, measured on a clip that its authors cut
 * by the boxes of their detector (S3FD).
 */
const boxRatio = { halfSide: 0.527, down: -0.034 } as const;
const meshPoints = 468;

/** The face box that belongs to landmarks. */
export function boxOfPoints(points: Float32Array): SpeakerBox {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let index = 0; index < meshPoints * 3; index += 3) {
    const [x, y] = [points[index] ?? 0, points[index + 1] ?? 0];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  const height = bottom - top;
  return {
    x: (left + right) / 2,
    y: (top + bottom) / 2 + boxRatio.down * height,
    halfSide: boxRatio.halfSide * height,
  };
}

/** The median of each value, as the authors smooth boxes over half a second. */
export function smoothBox(boxes: readonly SpeakerBox[]): SpeakerBox {
  const median = (read: (box: SpeakerBox) => number): number => {
    const sorted = boxes.map(read).toSorted((first, second) => first - second);
    return sorted[sorted.length >> 1] ?? 0;
  };
  return { x: median(({ x }) => x), y: median(({ y }) => y), halfSide: median(({ halfSide }) => halfSide) };
}

/** Size of the authors' square crop around a face, in half sides and in pixels; the network sees its middle. */
const cropSide = { halfSides: 2.8, px: 224, margin: 56 } as const;
/** Value of pixels outside the picture. */
const outside = 110;
/** Room for the difference between the box of a frame and the smoothed one, in half sides. */
const patchMargin = 0.25;

/** A copy of the luma around a mouth, 0–255, so that the picture may be released. */
export class LumaPatch {
  readonly #data: Uint8Array;
  readonly #left: number;
  readonly #top: number;
  readonly #width: number;
  readonly #height: number;

  /** Copies what a crop near `box` may need. */
  constructor(picture: Picture, { x, y, halfSide }: SpeakerBox, color: ColorTags) {
    const { left, top, right, bottom } = {
      left: x - (0.7 + patchMargin) * halfSide,
      right: x + (0.7 + patchMargin) * halfSide,
      top: y - (0.3 + patchMargin) * halfSide,
      bottom: y + (1.1 + patchMargin) * halfSide,
    };
    this.#left = clamp(Math.floor(left), 0, picture.width - 1);
    this.#top = clamp(Math.floor(top), 0, picture.height - 1);
    this.#width = clamp(Math.ceil(right), this.#left + 1, picture.width) - this.#left;
    this.#height = clamp(Math.ceil(bottom), this.#top + 1, picture.height) - this.#top;
    const { blackLuma, lumaScale } = colorMatrixOf(color, picture.height);
    this.#data = new Uint8Array(this.#width * this.#height);
    for (let row = 0; row < this.#height; row += 1) {
      const start = (this.#top + row) * picture.width + this.#left;
      for (let column = 0; column < this.#width; column += 1) {
        const gray = ((picture.data[start + column] ?? 0) - blackLuma) / lumaScale;
        this.#data[row * this.#width + column] = clamp(Math.round(gray), 0, 255);
      }
    }
  }

  /** Writes the crop of a box, 112 × 112 gray values, into `target`, by bilinear interpolation. */
  crop({ x, y, halfSide }: SpeakerBox, target: Uint8Array): void {
    const step = (cropSide.halfSides * halfSide) / cropSide.px;
    const left = x - (cropSide.halfSides / 2) * halfSide + (cropSide.margin + 0.5) * step - 0.5 - this.#left;
    const top = y - halfSide + (cropSide.margin + 0.5) * step - 0.5 - this.#top;
    for (let row = 0; row < speakerCropPx; row += 1)
      for (let column = 0; column < speakerCropPx; column += 1)
        target[row * speakerCropPx + column] = Math.round(this.#at(left + column * step, top + row * step));
  }

  #at(x: number, y: number): number {
    if (x <= -1 || y <= -1 || x >= this.#width || y >= this.#height) return outside;
    const column = clamp(Math.floor(x), 0, this.#width - 1);
    const row = clamp(Math.floor(y), 0, this.#height - 1);
    const [nextColumn, nextRow] = [Math.min(column + 1, this.#width - 1), Math.min(row + 1, this.#height - 1)];
    const [across, down] = [clamp(x - column, 0, 1), clamp(y - row, 0, 1)];
    const value = (atRow: number, atColumn: number): number => this.#data[atRow * this.#width + atColumn] ?? 0;
    const upper = value(row, column) * (1 - across) + value(row, nextColumn) * across;
    const lower = value(nextRow, column) * (1 - across) + value(nextRow, nextColumn) * across;
    return upper * (1 - down) + lower * down;
  }
}

function clamp(value: number, lowest: number, highest: number): number {
  return Math.max(lowest, Math.min(highest, value));
}
