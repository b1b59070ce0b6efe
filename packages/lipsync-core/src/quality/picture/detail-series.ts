import type { QualityRange } from '../../contract/quality.ts';
import { findRuns } from '../labels.ts';
import { medianOf } from '../statistics.ts';
import type { FaceDetail } from './detail.ts';

/** Details are compared in blocks of this length. */
const blockMs = 500;
/** A blurred passage lasts this many blocks, or as long as the video: single blocks vary with blinks and fast motion. */
const fewestBlocks = 2;

/** Blurred passages of a video, with the lowest sharpness of their blocks. */
export interface BlurredPassages {
  readonly ranges: readonly QualityRange[];
  readonly value: number;
}

/** Sums of the details of many pictures. */
class DetailSum {
  mouth = 0;
  eyes = 0;
  count = 0;

  add({ mouth, eyes }: FaceDetail): void {
    if (!Number.isFinite(mouth + eyes)) return;
    this.mouth += mouth;
    this.eyes += eyes;
    this.count += 1;
  }

  /** Details of the mouth over those of the eyes; null without a face. */
  get ratio(): number | null {
    return this.eyes > 0 ? this.mouth / this.eyes : null;
  }
}

interface DetailBlock {
  readonly take: DetailSum;
  readonly source: DetailSum;
}

/** Compares the details of a take with those of its source, in the whole and over time. */
export class DetailSeries {
  readonly #whole: DetailBlock = { take: new DetailSum(), source: new DetailSum() };
  readonly #blocks: (DetailBlock | undefined)[] = [];

  add(side: 'take' | 'source', timeMs: number, detail: FaceDetail): void {
    const index = Math.floor(timeMs / blockMs);
    const block = (this.#blocks[index] ??= { take: new DetailSum(), source: new DetailSum() });
    this.#whole[side].add(detail);
    block[side].add(detail);
  }

  /** Details of the mouth over those of the eyes; null without a face. */
  ratioOf(side: 'take' | 'source'): number | null {
    return this.#whole[side].ratio;
  }

  /** Sharpness relative to the source; null without one. */
  finish(): { readonly face: number | null; readonly mouth: number | null } {
    return { face: faceSharpness(this.#whole), mouth: mouthSharpness(this.#whole) };
  }

  /** Passages in which the mouth is blurred against its source. */
  blurredMouth(threshold: number): BlurredPassages | undefined {
    return this.#passages(mouthSharpness, threshold);
  }

  /** Passages in which the face is blurred: against its source or, without one, against the rest of the video. */
  blurredFace(threshold: number): BlurredPassages | undefined {
    if (this.#whole.source.eyes > 0) return this.#passages(faceSharpness, threshold);
    const usual = medianOf(this.#blocks.flatMap((block) => (block && block.take.eyes > 0 ? [meanEyes(block)] : [])));
    return this.#passages((block) => (block.take.eyes > 0 ? meanEyes(block) / usual : null), threshold);
  }

  #passages(measure: (block: DetailBlock) => number | null, threshold: number): BlurredPassages | undefined {
    const values = Array.from(this.#blocks, (block) => (block ? measure(block) : null));
    const isBlurred = (index: number): boolean => (values[index] ?? threshold) < threshold;
    const fewest = Math.min(fewestBlocks, values.length);
    const runs = findRuns(values.length, isBlurred).filter(({ start, end }) => end - start >= fewest);
    if (runs.length === 0) return undefined;
    const found = runs.flatMap(({ start, end }) => values.slice(start, end).filter((value) => value !== null));
    return {
      ranges: runs.map(({ start, end }) => ({ startMs: start * blockMs, endMs: end * blockMs })),
      value: Math.min(...found),
    };
  }
}

function meanEyes({ take }: DetailBlock): number {
  return take.eyes / take.count;
}

function faceSharpness({ take, source }: DetailBlock): number | null {
  return take.eyes > 0 && source.eyes > 0 ? take.eyes / source.eyes : null;
}

function mouthSharpness({ take, source }: DetailBlock): number | null {
  const [own, reference] = [take.ratio, source.ratio];
  return own === null || reference === null ? null : own / reference;
}
