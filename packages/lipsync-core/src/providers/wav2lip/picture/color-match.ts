import type { LevelTables } from '../../../image/color-matrix.ts';
import { maskSidePx, type MouthMask } from './mouth-mask.ts';

/** The clip's own face crop and the generated one: `sidePx² × 3` BGR bytes each. */
export interface CropPair {
  readonly source: Uint8Array;
  readonly generated: Uint8Array;
  readonly sidePx: number;
}

/** Limits of contrast and brightness correction. Larger differences are different content, not a color cast. */
const gainLimits = { low: 0.8, high: 1.25 } as const;
const maxShift = 24;
/** Variance attributed to noise; it damps the contrast correction of flat regions. */
const noiseVariance = 30;
/** Minimum number of border samples; frames with fewer are ignored. */
const minSamples = 40;
/** Samples that differ by more levels show different content and are ignored. */
const maxLevelDifference = 60;
/** Smoothing factor of the exponential moving average over frames. */
const smoothing = 0.12;
/** Mask coverage above which a pixel is not part of the blended border. */
const maxBorderCoverage = 250;

const channels = ['blue', 'green', 'red'] as const;

/** Correction of one channel: contrast around a pivot level, then brightness. */
interface ChannelCorrection {
  gain: number;
  pivot: number;
  shift: number;
}

interface BorderSums {
  count: number;
  source: number;
  generated: number;
  sourceSquares: number;
  generatedSquares: number;
}

/** Identity lookup tables. */
export function identityLevels(): LevelTables {
  const table = (): Float32Array => Float32Array.from({ length: 256 }, (_, level) => level);
  return { blue: table(), green: table(), red: table() };
}

/**
 * Color transfer from the clip to the generated face: matches mean and standard deviation per channel over the skin at
 * the blended border of the mask (after Reinhard et al., "Color Transfer between Images", 2001, in BGR). The correction
 * is smoothed over frames to prevent flicker.
 */
export class ColorMatcher {
  /** Lookup tables for the generated face; updated in place by `observe`. */
  readonly levels: LevelTables = identityLevels();
  readonly #corrections = channels.map((): ChannelCorrection => ({ gain: 1, pivot: 128, shift: 0 }));
  readonly #sums: BorderSums = { count: 0, source: 0, generated: 0, sourceSquares: 0, generatedSquares: 0 };
  #isFresh = true;

  /** Updates the correction with one frame. */
  observe(mask: MouthMask, crops: CropPair): void {
    for (const [channel, correction] of this.#corrections.entries()) {
      sumBorder(this.#sums, mask, crops, channel);
      if (this.#sums.count < minSamples) return;
      updateCorrection(correction, this.#sums, this.#isFresh ? 1 : smoothing);
      fillTable(this.levels[channels[channel] ?? 'green'], correction);
    }
    this.#isFresh = false;
  }

  /** Discards the history: the next frame has different lighting. */
  reset(): void {
    this.#isFresh = true;
  }
}

/**
 * Sums one channel of both crops over the skin where the mask is partially transparent, so that both faces are visible.
 */
function sumBorder(
  sums: BorderSums,
  { coverage, skin, area }: MouthMask,
  { source, generated, sidePx }: CropPair,
  channel: number,
): void {
  sums.count = sums.source = sums.generated = sums.sourceSquares = sums.generatedSquares = 0;
  for (let row = area.top; row < area.bottom; row += 1) {
    const cropRow = Math.floor(((row + 0.5) / maskSidePx) * sidePx);
    for (let column = area.left; column < area.right; column += 1) {
      const maskIndex = row * maskSidePx + column;
      if (skin[maskIndex] === 0 || (coverage[maskIndex] ?? 0) > maxBorderCoverage) continue;
      const pixel = cropRow * sidePx + Math.floor(((column + 0.5) / maskSidePx) * sidePx);
      const sourceLevel = source[pixel * 3 + channel] ?? 0;
      const generatedLevel = generated[pixel * 3 + channel] ?? 0;
      if (Math.abs(sourceLevel - generatedLevel) > maxLevelDifference) continue;
      sums.count += 1;
      sums.source += sourceLevel;
      sums.generated += generatedLevel;
      sums.sourceSquares += sourceLevel * sourceLevel;
      sums.generatedSquares += generatedLevel * generatedLevel;
    }
  }
}

function updateCorrection(
  correction: ChannelCorrection,
  { count, source, generated, sourceSquares, generatedSquares }: BorderSums,
  weight: number,
): void {
  const sourceMean = source / count;
  const generatedMean = generated / count;
  const sourceVariance = Math.max(0, sourceSquares / count - sourceMean * sourceMean);
  const generatedVariance = Math.max(0, generatedSquares / count - generatedMean * generatedMean);
  const gain = Math.sqrt((sourceVariance + noiseVariance) / (generatedVariance + noiseVariance));
  const shift = sourceMean - generatedMean;
  correction.pivot = generatedMean;
  correction.gain += (Math.min(gainLimits.high, Math.max(gainLimits.low, gain)) - correction.gain) * weight;
  correction.shift += (Math.min(maxShift, Math.max(-maxShift, shift)) - correction.shift) * weight;
}

function fillTable(table: Float32Array, { gain, pivot, shift }: ChannelCorrection): void {
  for (let level = 0; level < 256; level += 1) table[level] = (level - pivot) * gain + pivot + shift;
}
