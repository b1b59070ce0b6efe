import type { QualityRange } from '../../contract/quality.ts';
import { at } from '../../image/math.ts';
import type { PixelArea, Picture } from '../../image/planes.ts';
import { ssimOutside } from '../../image/ssim.ts';
import { levelPerUnit, patchSide, type FacePatch, type PatchPlacement } from './face-patch.ts';
import { FaceShiftMeter } from './face-shift.ts';
import { SeamMeter, type PatchPair } from './seam.ts';

/** Mean differences of luma, Cb and Cr between a take and its source, in levels. */
interface ColorDifference {
  readonly luma: number;
  readonly cb: number;
  readonly cr: number;
}

/** Size of a color difference in levels: chroma counts as much as luma. */
function sizeOf({ luma, cb, cr }: ColorDifference): number {
  return Math.hypot(luma, cb, cr);
}

/** Distance between the measured blocks: a quarter of them. */
const ssimStepPx = 16;

/**
 * Compares pictures of a take with those of its source where both are meant to be the same, and around the mouth.
 * Memory does not depend on the length.
 */
export class SourceDifferenceMeter {
  #count = 0;
  #ssim = 0;
  #squares = 0;
  #pictureColor: ColorDifference = noDifference;
  #mouthColor: ColorDifference = noDifference;
  /** Luma difference around the mouth, relative to the eyes, per sample. */
  readonly #mouthLuma: number[] = [];
  readonly #seam = new SeamMeter();
  readonly #shift = new FaceShiftMeter();
  #shiftCount = 0;
  #patchCount = 0;

  /** Adds two pictures of the same size. `redrawn` is the area that a provider may change, in pixels. */
  addPictures(take: Picture, source: Picture, redrawn: PixelArea | undefined): void {
    const { width, height } = take;
    const ssim = ssimOutside({ a: take.data, b: source.data, width, height, stepPx: ssimStepPx }, redrawn);
    if (Number.isNaN(ssim)) return;
    const { color, squares } = compareSamples(take, source, redrawn);
    this.#count += 1;
    this.#ssim += ssim;
    this.#squares += squares;
    this.#pictureColor = sum(this.#pictureColor, color);
  }

  /** Adds two patches of the same placement. */
  addPatches(timeMs: number, patches: PatchPair, { mouth, eyes }: PatchPlacement): void {
    const { take, source } = patches;
    this.#shiftCount += 1;
    if (this.#shift.add(take, source, eyes) > largestShift) return;
    this.#patchCount += 1;
    this.#seam.add(timeMs, patches, mouth);
    const around = meanDifference(take, source, grow(mouth, ringCells), mouth);
    const upper = meanDifference(take, source, eyes, undefined);
    const relative = sum(around, upper, -1);
    this.#mouthColor = sum(this.#mouthColor, relative);
    this.#mouthLuma.push(relative.luma);
  }

  /** Where a seam is higher than a threshold. */
  seamRanges(threshold: number): QualityRange[] {
    return this.#seam.visibleRanges(threshold);
  }

  /** Null where nothing was compared. */
  finish() {
    const count = this.#count;
    const patches = this.#patchCount;
    const mean = (total: ColorDifference, samples: number): ColorDifference => sum(noDifference, total, 1 / samples);
    return {
      outsideSsim: count === 0 ? null : this.#ssim / count,
      outsidePsnr: count === 0 ? null : Math.min(highestPsnr, 10 * Math.log10((255 * 255 * count) / this.#squares)),
      colorShift: count === 0 ? null : sizeOf(mean(this.#pictureColor, count)),
      mouthColorShift: patches === 0 ? null : sizeOf(mean(this.#mouthColor, patches)),
      mouthFlicker: patches < fewestPatches ? null : meanChange(this.#mouthLuma),
      headJitter: this.#shiftCount < fewestPatches ? null : this.#shift.finish(),
      seam: patches < fewestPatches ? null : this.#seam.finish(),
    };
  }
}

const fewestPatches = 4;
/** Colors are compared in pictures whose faces lie this close, in cells. */
const largestShift = 0.75;
/** PSNR of equal pictures. */
const highestPsnr = 100;
/** Width of the skin around the mouth that is compared, in cells. */
const ringCells = 14;
const noDifference: ColorDifference = { luma: 0, cb: 0, cr: 0 };

function sum(first: ColorDifference, second: ColorDifference, factor = 1): ColorDifference {
  return {
    luma: first.luma + second.luma * factor,
    cb: first.cb + second.cb * factor,
    cr: first.cr + second.cr * factor,
  };
}

function grow({ left, top, right, bottom }: Readonly<PixelArea>, by: number): PixelArea {
  return {
    left: Math.max(0, left - by),
    top: Math.max(0, top - by),
    right: Math.min(patchSide, right + by),
    bottom: Math.min(patchSide, bottom + by),
  };
}

/** Mean difference of two patches in an area of cells without a hole. */
function meanDifference(
  take: FacePatch,
  source: FacePatch,
  area: Readonly<PixelArea>,
  hole: Readonly<PixelArea> | undefined,
): ColorDifference {
  let [luma, cb, cr, count] = [0, 0, 0, 0];
  for (let row = area.top; row < area.bottom; row += 1)
    for (let column = area.left; column < area.right; column += 1) {
      if (hole && row >= hole.top && row < hole.bottom && column >= hole.left && column < hole.right) continue;
      const cell = row * patchSide + column;
      luma += (take.luma[cell] ?? 0) - (source.luma[cell] ?? 0);
      cb += (take.cb[cell] ?? 0) - (source.cb[cell] ?? 0);
      cr += (take.cr[cell] ?? 0) - (source.cr[cell] ?? 0);
      count += 1;
    }
  return sum(noDifference, { luma, cb, cr }, levelPerUnit / Math.max(1, count));
}

/** Chroma samples between two that are compared, in both directions. */
const colorStepPx = 6;

/** Mean differences and mean squared luma difference at a grid of pixels outside an area. */
function compareSamples({ width, height, data }: Picture, source: Picture, excluded: PixelArea | undefined) {
  let [luma, cb, cr, squares, count] = [0, 0, 0, 0, 0];
  const chromaWidth = width >> 1;
  const cbStart = width * height;
  const crStart = cbStart + chromaWidth * (height >> 1);
  for (let row = 1; row < height >> 1; row += colorStepPx)
    for (let column = 1; column < chromaWidth; column += colorStepPx) {
      const [x, y] = [2 * column, 2 * row];
      if (excluded && x >= excluded.left && x < excluded.right && y >= excluded.top && y < excluded.bottom) continue;
      const chroma = row * chromaWidth + column;
      const difference = at(data, y * width + x) - at(source.data, y * width + x);
      luma += difference;
      squares += difference * difference;
      cb += at(data, cbStart + chroma) - at(source.data, cbStart + chroma);
      cr += at(data, crStart + chroma) - at(source.data, crStart + chroma);
      count += 1;
    }
  const samples = Math.max(1, count);
  return { color: { luma: luma / samples, cb: cb / samples, cr: cr / samples }, squares: squares / samples };
}

/** Mean absolute change from one value to the next. */
function meanChange(values: readonly number[]): number {
  let total = 0;
  for (let index = 1; index < values.length; index += 1)
    total += Math.abs((values[index] ?? 0) - (values[index - 1] ?? 0));
  return total / Math.max(1, values.length - 1);
}
