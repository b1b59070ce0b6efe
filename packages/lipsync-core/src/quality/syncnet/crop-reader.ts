import { abortError } from '../../errors/index.ts';
import { colorMatrixOf } from '../../image/color-matrix.ts';
import { canSeek, openFrames, type ClipFacts, type PictureArea } from '../../media/index.ts';
import { droppedWindows, syncFramesPerSecond, type Stretch } from './choose-stretches.ts';
import type { FaceBox } from './face-boxes.ts';
import { areaOfBoxes, croppedLength, FaceCropper } from './syncnet-crop.ts';
import { windowFrames } from './syncnet-network.ts';

/** Ranges up to this length are kept as crops, 150 kB per frame, until it is known that seeking found their frames. */
const maxKeptFrames = 300;
/** Mean gap between ranges from which a new process of ffmpeg costs less than decoding the gap. */
const minSeekGapFrames = 4 * syncFramesPerSecond;

interface Crop {
  readonly frame: number;
  readonly pixels: Uint8Array;
}

/** Frames of stretches without gaps between them, end exclusive. */
interface CropRange {
  readonly start: number;
  readonly end: number;
  readonly stretches: readonly Stretch[];
}

export interface CropReaderOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  /** Ascending. */
  readonly stretches: readonly Stretch[];
  readonly signal: AbortSignal;
}

/**
 * Crops the frames of stretches at 25 fps. Short stretches far apart are found by seeking, and the next one is read while
 * the caller works; all others are read in one pass. The caller calls `close`.
 */
export class CropReader {
  readonly #crops: AsyncGenerator<Crop, void>;
  readonly #stopped = new AbortController();
  readonly #kept = new Map<number, Uint8Array>();
  /** Never rejects. */
  #ahead: Promise<readonly Crop[] | undefined> = Promise.resolve(undefined);
  #position = -1;
  #didSeek = false;

  constructor(options: CropReaderOptions) {
    const signal = AbortSignal.any([options.signal, this.#stopped.signal]);
    this.#crops = this.#read({ ...options, signal });
  }

  /** Whether the frames up to now were found by seeking. */
  get didSeek(): boolean {
    return this.#didSeek;
  }

  /** The crops of the window that starts with a frame. Call with ascending frames. */
  async windowAt(frame: number): Promise<readonly Uint8Array[]> {
    for (const passed of this.#kept.keys()) if (passed < frame) this.#kept.delete(passed);
    while (this.#position < frame + windowFrames - 1) {
      const { value, done }: IteratorResult<Crop, void> = await this.#crops.next();
      if (done || !value) throw new RangeError(`The video ends before frame ${frame}.`);
      this.#position = value.frame;
      this.#kept.set(value.frame, value.pixels);
    }
    return Array.from({ length: windowFrames }, (_, index) => this.#kept.get(frame + index) ?? blank);
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#crops.return(undefined);
    await this.#ahead;
  }

  async *#read(options: CropReaderOptions): AsyncGenerator<Crop, void> {
    const ranges = rangesOf(options.stretches);
    let index = 0;
    this.#didSeek = seeksFor(options.facts, options.stretches);
    if (this.#didSeek) this.#ahead = readBySeeking(options, ranges[0]);
    for (; this.#didSeek && index < ranges.length; index += 1) {
      const crops = await this.#ahead;
      this.#didSeek = crops !== undefined;
      if (!crops) break;
      this.#ahead = readBySeeking(options, ranges[index + 1]);
      yield* crops;
    }
    yield* readInOnePass(options, ranges.slice(index));
  }
}

const blank = new Uint8Array(croppedLength);

/** Whether the frames of stretches are looked for by seeking. */
export function seeksFor(facts: ClipFacts, stretches: readonly Stretch[]): boolean {
  return canSeek(facts) && areFarApart(rangesOf(stretches));
}

function areFarApart(ranges: readonly CropRange[]): boolean {
  const needed = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const gaps = (ranges.at(-1)?.end ?? 0) - needed;
  return gaps >= ranges.length * minSeekGapFrames && ranges.every(({ start, end }) => end - start <= maxKeptFrames);
}

/** Crops of a range; undefined when its frames cannot be found by seeking. */
async function readBySeeking(
  options: CropReaderOptions,
  range: CropRange | undefined,
): Promise<readonly Crop[] | undefined> {
  if (!range) return [];
  const crops: Crop[] = [];
  try {
    for await (const crop of decode(options, [range], { seek: true, exact: true })) crops.push(crop);
  } catch {
    // An ended job ends the pass that follows.
    return undefined;
  }
  return crops;
}

async function* readInOnePass(options: CropReaderOptions, ranges: readonly CropRange[]): AsyncGenerator<Crop, void> {
  if (options.signal.aborted) throw abortError(options.signal);
  if (ranges.length > 0) yield* decode(options, ranges, {});
}

async function* decode(
  { path, facts, signal }: CropReaderOptions,
  ranges: readonly CropRange[],
  how: { readonly seek?: boolean; readonly exact?: boolean },
): AsyncGenerator<Crop, void> {
  const area = areaOfBoxes(
    ranges.flatMap(({ start, end, stretches }) => stretches.flatMap((stretch) => boxesOf(stretch, start, end))),
    facts,
  );
  const cropper = new FaceCropper(colorMatrixOf(facts.color, facts.height));
  const range = { start: ranges[0]?.start ?? 0, end: ranges.at(-1)?.end ?? 0 };
  const parts = ranges.length > 1 ? { parts: ranges } : {};
  const constantRate = { ...facts, frameRate: { numerator: syncFramesPerSecond, denominator: 1 } };
  for await (const { clipFrame, ...picture } of openFrames({
    path,
    facts: constantRate,
    range,
    ...parts,
    ...how,
    area,
    signal,
  })) {
    const pixels = new Uint8Array(croppedLength);
    const box = boxAt(ranges, clipFrame);
    if (box) cropper.crop(picture, within(area, box), pixels);
    yield { frame: clipFrame, pixels };
  }
}

function within({ x, y }: PictureArea, { centerX, centerY, halfSide }: FaceBox): FaceBox {
  return { centerX: centerX - x, centerY: centerY - y, halfSide };
}

function boxAt(ranges: readonly CropRange[], frame: number): FaceBox | undefined {
  const range = ranges.find(({ start, end }) => frame >= start && frame < end);
  const stretch = range?.stretches.find(({ start, end }) => frame >= start && frame < end + droppedWindows);
  return stretch?.track.boxes[frame - stretch.track.start];
}

function boxesOf({ track }: Stretch, start: number, end: number): readonly FaceBox[] {
  return track.boxes.slice(Math.max(0, start - track.start), Math.max(0, end - track.start));
}

/** The frames of all windows, as ranges without overlap. */
function rangesOf(stretches: readonly Stretch[]): readonly CropRange[] {
  const ranges: { start: number; end: number; stretches: Stretch[] }[] = [];
  for (const stretch of stretches) {
    const [last, end] = [ranges.at(-1), stretch.end + windowFrames - 1];
    if (last && stretch.start <= last.end) {
      last.end = Math.max(last.end, end);
      last.stretches.push(stretch);
    } else ranges.push({ start: stretch.start, end, stretches: [stretch] });
  }
  return ranges;
}
