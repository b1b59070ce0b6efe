import type { LevelTables } from '../../../image/color-matrix.ts';
import { maskCells, type MouthMask } from './mouth-mask.ts';

/** Finds how the redrawn face's colors have to change to meet the clip's where the two are blended. */
export interface ColorMatcher {
  /** Looks at one frame: both crops are `cropSizePx² × 3` BGR bytes. The change follows over some frames, so that it never flickers. */
  observe(mask: MouthMask, source: Uint8Array, generated: Uint8Array): void;
  /** What each level of the redrawn face becomes. Changes with the next call of `observe`. */
  readonly levels: LevelTables;
  /** Forgets what was seen: the next frame has other light. */
  reset(): void;
}

/** Largest change of contrast and of brightness: more than that is a different picture, not a different shade. */
const gainLimits = { low: 0.8, high: 1.25 } as const;
const largestShift = 24;
/** Variance of levels that is taken for noise: contrast is compared only as far as there is any. */
const noiseVariance = 30;
/** Cells of the blended border below which a frame says nothing. */
const fewestCells = 40;
/** Levels by which the two faces may differ and still show the same thing. */
const sameThing = 60;
/** Share of the way that is gone in each frame. */
const share = 0.12;

const channels = ['blue', 'green', 'red'] as const;

/** A change of one channel: contrast around a level, then brightness. */
interface ChannelChange {
  gain: number;
  pivot: number;
  shift: number;
}

interface Sums {
  count: number;
  source: number;
  generated: number;
  sourceSquares: number;
  generatedSquares: number;
}

/** Levels as they are. */
export function unchangedLevels(): LevelTables {
  const table = (): Float32Array => Float32Array.from({ length: 256 }, (_, level) => level);
  return { blue: table(), green: table(), red: table() };
}

export function createColorMatcher(cropSizePx: number): ColorMatcher {
  const levels = unchangedLevels();
  const changes = channels.map((): ChannelChange => ({ gain: 1, pivot: 128, shift: 0 }));
  const sums: Sums = { count: 0, source: 0, generated: 0, sourceSquares: 0, generatedSquares: 0 };
  let isFresh = true;
  return {
    levels,
    observe(mask, source, generated) {
      for (const [channel, change] of changes.entries()) {
        sumBorder(sums, mask, source, generated, cropSizePx, channel);
        if (sums.count < fewestCells) return;
        follow(change, sums, isFresh ? 1 : share);
        fillTable(levels[channels[channel] ?? 'green'], change);
      }
      isFresh = false;
    },
    reset() {
      isFresh = true;
    },
  };
}

/** Over the skin where the cover is partial: there both faces are seen at once. */
function sumBorder(
  sums: Sums,
  { cover, skin, area }: MouthMask,
  source: Uint8Array,
  generated: Uint8Array,
  cropSizePx: number,
  channel: number,
): void {
  sums.count = sums.source = sums.generated = sums.sourceSquares = sums.generatedSquares = 0;
  for (let row = area.top; row < area.bottom; row += 1) {
    const cropRow = Math.floor(((row + 0.5) / maskCells) * cropSizePx);
    for (let column = area.left; column < area.right; column += 1) {
      const cell = row * maskCells + column;
      if (skin[cell] === 0 || (cover[cell] ?? 0) > 250) continue;
      const pixel = cropRow * cropSizePx + Math.floor(((column + 0.5) / maskCells) * cropSizePx);
      const before = source[pixel * 3 + channel] ?? 0;
      const after = generated[pixel * 3 + channel] ?? 0;
      if (Math.abs(before - after) > sameThing) continue;
      sums.count += 1;
      sums.source += before;
      sums.generated += after;
      sums.sourceSquares += before * before;
      sums.generatedSquares += after * after;
    }
  }
}

function follow(
  change: ChannelChange,
  { count, source, generated, sourceSquares, generatedSquares }: Sums,
  way: number,
): void {
  const sourceMean = source / count;
  const generatedMean = generated / count;
  const sourceVariance = Math.max(0, sourceSquares / count - sourceMean * sourceMean);
  const generatedVariance = Math.max(0, generatedSquares / count - generatedMean * generatedMean);
  const gain = Math.sqrt((sourceVariance + noiseVariance) / (generatedVariance + noiseVariance));
  const shift = sourceMean - generatedMean;
  change.pivot = generatedMean;
  change.gain += (Math.min(gainLimits.high, Math.max(gainLimits.low, gain)) - change.gain) * way;
  change.shift += (Math.min(largestShift, Math.max(-largestShift, shift)) - change.shift) * way;
}

function fillTable(table: Float32Array, { gain, pivot, shift }: ChannelChange): void {
  for (let level = 0; level < 256; level += 1) table[level] = (level - pivot) * gain + pivot + shift;
}
