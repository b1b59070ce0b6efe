import { lumaOf } from '../image/color-matrix.ts';
import type { RgbPicture } from './face-regions.ts';

const gridSize = 32;
/** Each grid cell is the mean of `samplesAcross²` pixels. */
const samplesAcross = 3;
const samplesPerCell = samplesAcross ** 2;
const binsPerChannel = 4;
const historyFrames = 8;

/** Luma difference that is a cut on its own, and the one that is a cut together with a color change. */
const strongChange = 36;
const minimumChange = 13;
/** Fraction of the picture that must change its color. */
const minimumColorChange = 0.3;
/** Ratio to the mean difference of the preceding frames. */
const minimumChangeRatio = 2.5;
/** Rise of the mean luma, and the mean luma, from which a sudden change may be a flash. */
const flashRise = 40;
const flashLuma = 160;
/** Longer bright pictures are not flashes. */
const longestFlashFrames = 5;

/** A small description of a frame. */
interface FrameSignature {
  /** Luma of a coarse grid, 0–255, without its mean, so that changes of light are not cuts. */
  readonly grid: Float32Array;
  /** The mean that was subtracted. */
  readonly meanLuma: number;
  /** Color histogram of the grid, normalized to a sum of 1. */
  readonly colors: Float32Array;
}

/** Offsets of the sampled pixels in an RGB picture of one size, `samplesPerCell` for each grid cell. */
interface SampleGrid {
  readonly width: number;
  readonly height: number;
  readonly offsets: Int32Array;
}

/**
 * What a frame is in relation to the ones before it: the same shot, the start of a new shot, or a flash that the next
 * frames decide about. After a flash, `same` means that the shot goes on, and `cut` that the first bright frame started
 * a new shot.
 */
export type ShotChange = 'same' | 'cut' | 'flash';

/** Frames of a flash that the caller holds until it is decided. */
export const mostUndecidedFrames = longestFlashFrames;

/**
 * Detects hard cuts. A cut changes the coarse luma and the color histogram within one frame by much more than the
 * preceding frames, while fast motion changes the picture over several frames. A flash of a camera does so too, but the
 * picture before it returns.
 */
export class ShotBoundaryDetector {
  /** The last frame that is not part of an undecided flash. */
  #previous: FrameSignature | undefined;
  #samples: SampleGrid | undefined;
  #flashFrames = 0;
  /** Luma differences of the latest frames of the shot. */
  readonly #history: number[] = [];

  /** Classifies a frame. Must be called for every frame, in order. The first one is `same`. */
  classify(picture: RgbPicture): ShotChange {
    if (this.#samples?.width !== picture.width || this.#samples.height !== picture.height) {
      this.#samples = createSampleGrid(picture);
    }
    const current = signatureOf(picture.rgb, this.#samples.offsets);
    const previous = this.#previous;
    if (!previous) {
      this.#previous = current;
      return 'same';
    }
    const change = meanDifference(previous.grid, current.grid);
    const isChanged =
      this.#isSudden(change) &&
      (change > strongChange || histogramDistance(previous.colors, current.colors) > minimumColorChange);
    const isBright = current.meanLuma > Math.max(flashLuma, previous.meanLuma + flashRise);
    if (isChanged && isBright && this.#flashFrames < longestFlashFrames) {
      this.#flashFrames += 1;
      return 'flash';
    }
    this.#flashFrames = 0;
    this.#previous = current;
    if (isChanged) this.#history.length = 0;
    else this.#history.push(change);
    if (this.#history.length > historyFrames) this.#history.shift();
    return isChanged ? 'cut' : 'same';
  }

  #isSudden(change: number): boolean {
    const usual = this.#history.reduce((sum, value) => sum + value, 0) / Math.max(1, this.#history.length);
    return change > minimumChange && change > usual * minimumChangeRatio;
  }
}

function createSampleGrid({ width, height }: Pick<RgbPicture, 'width' | 'height'>): SampleGrid {
  const offsets = new Int32Array(gridSize * gridSize * samplesPerCell);
  for (let index = 0; index < offsets.length; index += 1) {
    const cell = Math.floor(index / samplesPerCell);
    const sample = index % samplesPerCell;
    const column = (cell % gridSize) + ((sample % samplesAcross) + 0.5) / samplesAcross;
    const row = Math.floor(cell / gridSize) + (Math.floor(sample / samplesAcross) + 0.5) / samplesAcross;
    offsets[index] = (Math.floor((row * height) / gridSize) * width + Math.floor((column * width) / gridSize)) * 3;
  }
  return { width, height, offsets };
}

function signatureOf(rgb: Uint8Array, offsets: Int32Array): FrameSignature {
  const grid = new Float32Array(gridSize * gridSize);
  const colors = new Float32Array(binsPerChannel ** 3);
  for (let cell = 0; cell < grid.length; cell += 1) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let sample = cell * samplesPerCell; sample < (cell + 1) * samplesPerCell; sample += 1) {
      const offset = offsets[sample] ?? 0;
      red += rgb[offset] ?? 0;
      green += rgb[offset + 1] ?? 0;
      blue += rgb[offset + 2] ?? 0;
    }
    grid[cell] = lumaOf(red, green, blue) / samplesPerCell;
    const bin =
      (binOf(red / samplesPerCell) * binsPerChannel + binOf(green / samplesPerCell)) * binsPerChannel +
      binOf(blue / samplesPerCell);
    colors[bin] = (colors[bin] ?? 0) + 1 / grid.length;
  }
  return { grid, colors, meanLuma: subtractMean(grid) };
}

/** Returns the mean. */
function subtractMean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (let index = 0; index < values.length; index += 1) values[index] = (values[index] ?? 0) - mean;
  return mean;
}

function binOf(value: number): number {
  return Math.min(binsPerChannel - 1, Math.floor((value * binsPerChannel) / 256));
}

function meanDifference(first: Float32Array, second: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < first.length; index += 1) sum += Math.abs((first[index] ?? 0) - (second[index] ?? 0));
  return sum / first.length;
}

/** Half the sum of absolute differences: the fraction of the picture with another color, 0–1. */
function histogramDistance(first: Float32Array, second: Float32Array): number {
  return (meanDifference(first, second) * first.length) / 2;
}
