import { outerLips } from '../../face/landmarks.ts';
import { at } from '../../image/math.ts';
import type { Picture } from '../../image/planes.ts';
import type { QualityRange } from '../../contract/quality.ts';
import type { AssessedFrame } from '../analyzer.ts';
import { findRuns, toTimes, type IndexRange } from '../labels.ts';

/** Sampled pixels of a picture; and of a mouth, per direction. */
const gridSamples = 2500;
const mouthSamples = 24;
/** A sample that differs by more levels has changed. Encoders change a repeated picture by less. */
const sameLevels = 3;
/** Share of changed samples up to which two pictures are the same. */
const sameShare = { grid: 0.002, surroundings: 0.002, mouth: 0.02 } as const;
/** Luma of a black sample, and the share of them in a black picture. */
const blackLuma = 34;
const blackShare = 0.98;
/** Shorter repetitions are those of a clip with a lower frame rate. */
const shortestFreezeMs = 240;
/** Share of frames without motion from which a video counts as a still. */
const mostly = 0.5;

export interface StillFrames {
  /** Null with the reason when repeated frames cannot be told from a still subject. */
  readonly frozenShare: number | null;
  readonly frozenReason: string | null;
  readonly frozenRanges: readonly QualityRange[];
  readonly blackShare: number | null;
  readonly blackRanges: readonly QualityRange[];
}

/** Finds frames that repeat the one before, and black frames. Holds a few thousand pixels. */
export class StillFrameMeter {
  readonly #framesPerSecond: number;
  readonly #every: number;
  #previous: Sample | undefined;
  #previousClipFrame: number | undefined;
  /** The last picture of the source, and its frame. */
  #source: { readonly sample: Sample; readonly index: number } | undefined;
  readonly #repeats: Uint8Array;
  readonly #black: Uint8Array;
  #stillCount = 0;
  #pairCount = 0;
  #frameCount = 0;
  #heldCount = 0;

  /** The first of every `every` frames is added, and stands for them all. */
  constructor(framesPerSecond: number, frameCount: number, every: number) {
    this.#framesPerSecond = framesPerSecond;
    this.#every = every;
    this.#repeats = new Uint8Array(frameCount);
    this.#black = new Uint8Array(frameCount);
  }

  add({ index, picture, points, source }: AssessedFrame): void {
    const previous = this.#previous;
    this.#frameCount = Math.min(this.#repeats.length, index + this.#every);
    if (previous) {
      this.#pairCount += 1;
      // Read only without a source, whose pictures tell more.
      if (!this.#source && isSame(picture, surroundingsOf(previous), sameShare.surroundings)) this.#stillCount += 1;
      const isStill = isSame(picture, previous.grid, sameShare.grid);
      const isHeld = source !== undefined && source.clipFrame === this.#previousClipFrame;
      if (isHeld) this.#heldCount += 1;
      const isRepeated = isStill && !isHeld && isSame(picture, previous.mouth, sameShare.mouth);
      this.#repeats.fill(isRepeated ? 1 : 0, index - this.#every + 1, index + 1);
    }
    this.#previous = takeSample(picture, points);
    this.#black.fill(isBlack(this.#previous) ? 1 : 0, index, index + this.#every);
    this.#previousClipFrame = source?.clipFrame;
    if (source?.picture) this.#addSource(index, source.picture);
  }

  /** Frames between two equal pictures of the source repeat the source. */
  #addSource(index: number, picture: Picture): void {
    if (this.#source && isSame(picture, this.#source.sample.grid, sameShare.grid))
      this.#repeats.fill(0, this.#source.index, index + 1);
    this.#source = { sample: takeSample(picture, undefined), index };
  }

  finish(): StillFrames {
    const frames = this.#frameCount;
    const shortest = Math.max(3, Math.round((shortestFreezeMs * this.#framesPerSecond) / 1000));
    const frozen = findRuns(frames, (index) => this.#repeats[index] === 1).filter(
      ({ start, end }) => end - start >= shortest,
    );
    const black = findRuns(frames, (index) => this.#black[index] === 1);
    const reason = this.#obstacle();
    return {
      frozenShare: reason === null ? countFrames(frozen) / frames : null,
      frozenReason: reason,
      frozenRanges: reason === null ? toTimes(frozen, this.#framesPerSecond) : [],
      blackShare: frames === 0 ? null : countFrames(black) / frames,
      blackRanges: toTimes(black, this.#framesPerSecond),
    };
  }

  #obstacle(): string | null {
    const changes = this.#pairCount;
    if (changes < 1) return 'The video has one frame.';
    if (this.#heldCount >= changes * mostly) return 'The clip is a still.';
    if (!this.#source && this.#stillCount >= changes * mostly)
      return 'Apart from the mouth, the picture stands still; a repeated frame cannot be told from a pause.';
    return null;
  }
}

/** Some pixels of a picture: indexes into its luma, and their values. */
interface Pixels {
  readonly indexes: Int32Array;
  readonly values: Uint8Array;
}

interface Sample {
  readonly grid: Pixels;
  readonly mouth: Pixels;
  /** Undefined without a face. */
  readonly mouthArea: Grid | undefined;
  /** Width of the picture. */
  readonly width: number;
}

/** Whether at most a share of the pixels has changed. */
function isSame({ data }: Picture, { indexes, values }: Pixels, share: number): boolean {
  const most = indexes.length * share;
  let changed = 0;
  for (let sample = 0; sample < indexes.length; sample += 1)
    if (Math.abs(at(data, indexes[sample] ?? 0) - at(values, sample)) > sameLevels && ++changed > most) return false;
  return true;
}

function isBlack({ grid: { values } }: Sample): boolean {
  let bright = 0;
  for (const value of values) if (value > blackLuma) bright += 1;
  return bright <= values.length * (1 - blackShare);
}

function takeSample(picture: Picture, points: Float32Array | undefined): Sample {
  const { width, height } = picture;
  const step = Math.max(1, Math.sqrt((width * height) / gridSamples));
  const whole = { left: 0, top: 0, columns: Math.floor(width / step), rows: Math.floor(height / step) };
  const grid = takePixels(picture, { ...whole, stepX: step, stepY: step });
  const mouthArea = points && mouthGrid(points);
  return { grid, mouth: mouthArea ? takePixels(picture, mouthArea) : noPixels, mouthArea, width };
}

/** The grid without the lower face. */
function surroundingsOf({ grid, mouthArea, width }: Sample): Pixels {
  return mouthArea ? leaveOut(grid, mouthArea, width) : grid;
}

/** Leaves out the pixels that lie within a mouth's width of a mouth. */
function leaveOut(
  { indexes, values }: Pixels,
  { left, top, columns, rows, stepX, stepY }: Grid,
  width: number,
): Pixels {
  const reach = columns * stepX;
  const isOutside = (index: number): boolean => {
    const [x, y] = [index % width, Math.floor(index / width)];
    return x < left - reach || x > left + 2 * reach || y < top - reach || y > top + rows * stepY + reach;
  };
  return { indexes: indexes.filter(isOutside), values: values.filter((_, sample) => isOutside(indexes[sample] ?? 0)) };
}

const noPixels: Pixels = { indexes: new Int32Array(0), values: new Uint8Array(0) };

interface Grid {
  readonly left: number;
  readonly top: number;
  readonly columns: number;
  readonly rows: number;
  readonly stepX: number;
  readonly stepY: number;
}

function mouthGrid(points: Float32Array): Grid {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const point of outerLips) {
    left = Math.min(left, at(points, point * 3));
    right = Math.max(right, at(points, point * 3));
    top = Math.min(top, at(points, point * 3 + 1));
    bottom = Math.max(bottom, at(points, point * 3 + 1));
  }
  const [columns, rows] = [mouthSamples, mouthSamples];
  return { left, top, columns, rows, stepX: (right - left) / columns, stepY: (bottom - top) / rows };
}

function takePixels({ width, height, data }: Picture, { left, top, columns, rows, stepX, stepY }: Grid): Pixels {
  const indexes = new Int32Array(columns * rows);
  const values = new Uint8Array(columns * rows);
  for (let row = 0; row < rows; row += 1) {
    const y = Math.min(height - 1, Math.max(0, Math.floor(top + (row + 0.5) * stepY)));
    for (let column = 0; column < columns; column += 1) {
      const x = Math.min(width - 1, Math.max(0, Math.floor(left + (column + 0.5) * stepX)));
      const sample = row * columns + column;
      indexes[sample] = y * width + x;
      values[sample] = at(data, y * width + x);
    }
  }
  return { indexes, values };
}

function countFrames(runs: readonly IndexRange[]): number {
  return runs.reduce((sum, { start, end }) => sum + end - start, 0);
}
