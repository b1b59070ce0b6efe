import { RowBuffer, quantile } from '../../audio/time-series.ts';
import { findRuns, type IndexRange } from '../labels.ts';
import type { SoundBlock } from './sound-blocks.ts';

/** A hole in the sound: the level falls by this much within 6 steps, and rises again as fast. */
const minDepthDb = 30;
const edgeSteps = 6;
/** Shorter holes lie between the pulses of a deep or synthetic voice; longer ones are pauses or silence. */
const minHoleSteps = 9;
const maxHoleSteps = 400;
/** The sound beside a hole is at most this far below the loud parts. */
const besideRangeDb = 24;
/** Level of silence, dBFS, and the shortest silence that is counted. */
const silentDb = -60;
const minSilentBlocks = 50;

const quietestDb = -127;

export interface SoundLevels {
  /** Holes, in steps of about 1 ms. */
  readonly gaps: readonly IndexRange[];
  readonly stepCount: number;
  /** Silence of at least a second, in blocks. */
  readonly silences: readonly IndexRange[];
  readonly blockCount: number;
}

/** Finds holes and silence by the level of the loudest channel. Keeps 1 byte per step and 4 per block. */
export class LevelMeter {
  readonly #stepSamples: number;
  readonly #blocks = new RowBuffer(1);
  #steps = new Int8Array(65_536);
  #stepCount = 0;

  constructor(stepSamples: number) {
    this.#stepSamples = stepSamples;
  }

  addBlock({ channels }: SoundBlock): void {
    const length = channels[0]?.length ?? 0;
    let blockPower = 0;
    for (let start = 0; start < length; start += this.#stepSamples) {
      const end = Math.min(length, start + this.#stepSamples);
      let loudest = 0;
      for (const samples of channels) loudest = Math.max(loudest, meanSquare(samples, start, end));
      this.#appendStep(toDb(loudest));
      blockPower += loudest * (end - start);
    }
    this.#blocks.append(Float32Array.of(toDb(blockPower / Math.max(1, length))));
  }

  finish(): SoundLevels {
    const blocks = this.#blocks.toArray();
    const loudDb = quantile(blocks, 0.95) ?? quietestDb;
    const silences = findRuns(blocks.length, (block) => (blocks[block] ?? 0) < silentDb).filter(
      ({ start, end }) => end - start >= minSilentBlocks,
    );
    const gaps = findHoles(this.#steps.subarray(0, this.#stepCount), loudDb - besideRangeDb);
    return { gaps, stepCount: this.#stepCount, silences, blockCount: blocks.length };
  }

  #appendStep(levelDb: number): void {
    if (this.#stepCount === this.#steps.length) {
      const larger = new Int8Array(2 * this.#steps.length);
      larger.set(this.#steps);
      this.#steps = larger;
    }
    this.#steps[this.#stepCount++] = Math.round(levelDb);
  }
}

/** Finds holes between sounds of at least `minBesideDb`. */
function findHoles(levels: Int8Array, minBesideDb: number): IndexRange[] {
  const holes: IndexRange[] = [];
  for (let step = 1; step < levels.length;) {
    const beforeDb = highest(levels, step - edgeSteps, step);
    const floorDb = beforeDb - minDepthDb;
    if (beforeDb < minBesideDb || (levels[step] ?? 0) > floorDb) {
      step += 1;
      continue;
    }
    let end = step;
    while (end < levels.length && (levels[end] ?? 0) <= floorDb && end - step <= maxHoleSteps) end += 1;
    const afterDb = highest(levels, end, end + edgeSteps);
    const isAbrupt = afterDb >= minBesideDb && afterDb - highest(levels, step, end) >= minDepthDb;
    const length = end - step;
    if (end < levels.length && isAbrupt && length >= minHoleSteps && length <= maxHoleSteps)
      holes.push({ start: step, end });
    step = Math.max(end, step + 1);
  }
  return holes;
}

function highest(levels: Int8Array, start: number, end: number): number {
  let result = quietestDb;
  for (let step = Math.max(0, start); step < Math.min(levels.length, end); step += 1)
    result = Math.max(result, levels[step] ?? quietestDb);
  return result;
}

function meanSquare(samples: Float32Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i += 1) sum += (samples[i] ?? 0) ** 2;
  return sum / (end - start);
}

function toDb(power: number): number {
  return Math.min(24, Math.max(quietestDb, 10 * Math.log10(power + 1e-13)));
}
