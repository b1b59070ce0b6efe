import type { RgbPicture } from './region-sampling.ts';

const gridSize = 32;
const binsPerChannel = 4;
const memoryFrames = 8;

const strongChange = 36;
const plainChange = 13;
const changedColours = 0.3;
const timesUsualChange = 2.5;

interface Impression {
  /** Luma of a coarse grid, 0–255, its mean removed: light that comes and goes is no cut. */
  readonly grid: Float32Array;
  /** Share of grid places per colour class. */
  readonly colours: Float32Array;
}

/** Tells the first frame of each shot while frames go by. Feed it every frame once, in order. */
export interface CutDetector {
  /** True when this frame does not continue the one before; false for the very first. */
  isCut(picture: RgbPicture): boolean;
}

/**
 * A cut is a frame in which the coarse picture and its colours both change, by much more than they lately did: fast motion
 * changes the picture over several frames in a row, a cut changes it in one.
 */
export function createCutDetector(): CutDetector {
  let before: Impression | undefined;
  const recent: number[] = [];
  return {
    isCut: (picture) => {
      const now = impressionOf(picture);
      const last = before;
      before = now;
      if (!last) return false;
      const change = meanDifference(last.grid, now.grid);
      const usual = recent.reduce((sum, value) => sum + value, 0) / Math.max(1, recent.length);
      const cut = isSudden(change, usual) && (change > strongChange || colourDistance(last.colours, now.colours) > changedColours);
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

function impressionOf({ rgb, width, height }: RgbPicture): Impression {
  const grid = new Float32Array(gridSize * gridSize);
  const colours = new Float32Array(binsPerChannel ** 3);
  for (let row = 0; row < gridSize; row += 1) {
    for (let column = 0; column < gridSize; column += 1) {
      const [red, green, blue] = meanColour({ rgb, width, height }, column, row);
      grid[row * gridSize + column] = 0.299 * red + 0.587 * green + 0.114 * blue;
      const bin = (classOf(red) * binsPerChannel + classOf(green)) * binsPerChannel + classOf(blue);
      colours[bin] = (colours[bin] ?? 0) + 1 / grid.length;
    }
  }
  const mean = grid.reduce((sum, value) => sum + value, 0) / grid.length;
  return { grid: grid.map((value) => value - mean), colours };
}

/** Mean of a few pixels spread over one place of the grid. */
function meanColour({ rgb, width, height }: RgbPicture, column: number, row: number): readonly [number, number, number] {
  const taps = 3;
  let red = 0;
  let green = 0;
  let blue = 0;
  for (let tap = 0; tap < taps * taps; tap += 1) {
    const x = Math.floor(((column + ((tap % taps) + 0.5) / taps) * width) / gridSize);
    const y = Math.floor(((row + (Math.floor(tap / taps) + 0.5) / taps) * height) / gridSize);
    const index = (y * width + x) * 3;
    red += rgb[index] ?? 0;
    green += rgb[index + 1] ?? 0;
    blue += rgb[index + 2] ?? 0;
  }
  return [red / taps ** 2, green / taps ** 2, blue / taps ** 2];
}

function classOf(value: number): number {
  return Math.min(binsPerChannel - 1, Math.floor((value * binsPerChannel) / 256));
}

function meanDifference(first: Float32Array, second: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < first.length; index += 1) sum += Math.abs((first[index] ?? 0) - (second[index] ?? 0));
  return sum / first.length;
}

/** Half the sum of differences: the share of the picture that is of another colour, 0–1. */
function colourDistance(first: Float32Array, second: Float32Array): number {
  return (meanDifference(first, second) * first.length) / 2;
}
