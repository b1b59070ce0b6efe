import type { RgbPicture } from './region-sampling.ts';

const gridSize = 32;
const binsPerChannel = 4;
const memoryFrames = 8;

const strongChange = 36;
const plainChange = 13;
const changedColors = 0.3;
const timesUsualChange = 2.5;

interface Impression {
  /** Luma of a coarse grid, 0–255, its mean removed: light that comes and goes is no cut. */
  readonly grid: Float32Array;
  /** Share of grid places per color class. */
  readonly colors: Float32Array;
}

/** Tells the first frame of each shot while frames go by. Feed it every frame once, in order. */
export interface CutDetector {
  /** True when this frame does not continue the one before; false for the very first. */
  isCut(picture: RgbPicture): boolean;
}

/**
 * A cut is a frame in which the coarse picture and its colors both change, by much more than they lately did: fast motion
 * changes the picture over several frames in a row, a cut changes it in one.
 */
export function createCutDetector(): CutDetector {
  let before: Impression | undefined;
  let taps: Taps | undefined;
  const recent: number[] = [];
  return {
    isCut: (picture) => {
      if (taps?.width !== picture.width || taps.height !== picture.height) taps = placeTaps(picture);
      const now = impressionOf(picture.rgb, taps.offsets);
      const last = before;
      before = now;
      if (!last) return false;
      const change = meanDifference(last.grid, now.grid);
      const usual = recent.reduce((sum, value) => sum + value, 0) / Math.max(1, recent.length);
      const cut =
        isSudden(change, usual) && (change > strongChange || colorDistance(last.colors, now.colors) > changedColors);
      if (cut) recent.length = 0;
      else recent.push(change);
      if (recent.length > memoryFrames) recent.shift();
      return cut;
    },
  };
}

function isSudden(change: number, usual: number): boolean {
  return change > plainChange && change > usual * timesUsualChange;
}

/** A few pixels spread over each place of the grid, as where they lie in an RGB picture of one size. */
interface Taps {
  readonly width: number;
  readonly height: number;
  /** `tapsAcross²` for each place, row by row. */
  readonly offsets: Int32Array;
}

const tapsAcross = 3;
const tapsPerPlace = tapsAcross ** 2;

function placeTaps({ width, height }: Pick<RgbPicture, 'width' | 'height'>): Taps {
  const offsets = new Int32Array(gridSize * gridSize * tapsPerPlace);
  for (let index = 0; index < offsets.length; index += 1) {
    const place = Math.floor(index / tapsPerPlace);
    const tap = index % tapsPerPlace;
    const x = Math.floor((((place % gridSize) + ((tap % tapsAcross) + 0.5) / tapsAcross) * width) / gridSize);
    const y = Math.floor(
      ((Math.floor(place / gridSize) + (Math.floor(tap / tapsAcross) + 0.5) / tapsAcross) * height) / gridSize,
    );
    offsets[index] = (y * width + x) * 3;
  }
  return { width, height, offsets };
}

function impressionOf(rgb: Uint8Array, taps: Int32Array): Impression {
  const grid = new Float32Array(gridSize * gridSize);
  const colors = new Float32Array(binsPerChannel ** 3);
  for (let place = 0; place < grid.length; place += 1) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let tap = place * tapsPerPlace; tap < (place + 1) * tapsPerPlace; tap += 1) {
      const offset = taps[tap] ?? 0;
      red += rgb[offset] ?? 0;
      green += rgb[offset + 1] ?? 0;
      blue += rgb[offset + 2] ?? 0;
    }
    grid[place] = (0.299 * red + 0.587 * green + 0.114 * blue) / tapsPerPlace;
    const bin =
      (classOf(red / tapsPerPlace) * binsPerChannel + classOf(green / tapsPerPlace)) * binsPerChannel +
      classOf(blue / tapsPerPlace);
    colors[bin] = (colors[bin] ?? 0) + 1 / grid.length;
  }
  removeMean(grid);
  return { grid, colors };
}

function removeMean(values: Float32Array): void {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (let index = 0; index < values.length; index += 1) values[index] = (values[index] ?? 0) - mean;
}

function classOf(value: number): number {
  return Math.min(binsPerChannel - 1, Math.floor((value * binsPerChannel) / 256));
}

function meanDifference(first: Float32Array, second: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < first.length; index += 1) sum += Math.abs((first[index] ?? 0) - (second[index] ?? 0));
  return sum / first.length;
}

/** Half the sum of differences: the share of the picture that is of another color, 0–1. */
function colorDistance(first: Float32Array, second: Float32Array): number {
  return (meanDifference(first, second) * first.length) / 2;
}
