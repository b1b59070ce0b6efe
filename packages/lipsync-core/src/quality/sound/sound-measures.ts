import { readMonoSound, readSound, type SoundFormat, type SoundStream, type SoundTrack } from '../../media/index.ts';
import type { AssessmentSpeech } from '../analyzer.ts';
import type { SoundFeed } from '../lips/sound-feed.ts';
import { BandwidthMeter } from './bandwidth-meter.ts';
import { ClippingMeter, type Clipping } from './clipping-meter.ts';
import { LevelMeter, type SoundLevels } from './level-meter.ts';
import { MonoMeter } from './mono-meter.ts';
import type { IndexRange } from '../labels.ts';
import { SoundBlocks } from './sound-blocks.ts';
import { soundLabels } from './sound-tables.ts';
import { SpeechAgreement, type Agreement } from './speech-agreement.ts';

/** What needs neither speech nor a model. */
export interface NativeSound {
  readonly format: SoundFormat;
  readonly clipping: Clipping;
  readonly levels: SoundLevels;
  readonly bandwidthHz: number | null;
  /** Level of the mono mix relative to the channels; null for silence. */
  readonly monoDb: number | null;
  readonly loudnessLufs: number | null;
  readonly stepMs: number;
  readonly blockMs: number;
}

export interface SoundMeasures extends NativeSound {
  /** Start of the sound relative to the picture. */
  readonly delayMs: number;
  /** Null without a given speech, or with `agreementReason`. */
  readonly agreement: Agreement | null;
  /** Why there is no agreement; null otherwise. */
  readonly agreementReason: string | null;
}

export interface SoundMeasureOptions {
  readonly path: string;
  readonly track: SoundTrack;
  readonly sound: Pick<SoundFeed, 'listen'>;
  /** The recording that the video speaks from its start. */
  readonly speech: AssessmentSpeech | undefined;
  readonly signal: AbortSignal;
}

/** Measures the first audio stream of a video, with bounded memory. Create it before the sound is read. */
export class SoundMeter {
  readonly #options: SoundMeasureOptions;
  /** Runs beside the decoding of the pictures. */
  readonly #native: Promise<NativeSound>;
  readonly #comparison: SpeechComparison | undefined;

  constructor(options: SoundMeasureOptions) {
    const { path, track, sound, speech, signal } = options;
    this.#options = options;
    this.#native = measureNative(readSound(path, track, signal), track);
    // Awaited by `finish`; a failure before must not count as unhandled.
    this.#native.catch(() => undefined);
    this.#comparison = speech && new SpeechComparison(speech, signal);
    sound.listen(async (chunk) => this.#comparison?.add(chunk));
  }

  /** Call when the sound has been read. Throws `media_failed` or the abort error. */
  async finish(): Promise<SoundMeasures> {
    const { track, speech } = this.#options;
    const native = await this.#native;
    const agreement = (await this.#comparison?.finish()) ?? null;
    const agreementReason = findAgreementObstacle(native, speech);
    return {
      ...native,
      delayMs: track.delayMs,
      agreement: agreementReason === null ? agreement : null,
      agreementReason,
    };
  }
}

/** Speech and agreement are measured on a mono mix. */
function findAgreementObstacle({ monoDb }: NativeSound, speech: AssessmentSpeech | undefined): string | null {
  if (!speech) return 'The video was assessed without the speech that it was made from.';
  return (monoDb ?? 0) < soundLabels.cancel.threshold ? 'The channels of the sound cancel each other.' : null;
}

/** Measures interleaved samples of `format`. */
async function measureNative(chunks: SoundStream, format: SoundFormat): Promise<NativeSound> {
  const blocks = new SoundBlocks(format);
  const clipping = new ClippingMeter();
  const levels = new LevelMeter(blocks.stepSamples);
  const bandwidth = new BandwidthMeter(format.sampleRateHz);
  const mono = new MonoMeter();
  const meters = [clipping, levels, bandwidth, mono];
  for await (const chunk of chunks) blocks.push(chunk, (block) => meters.forEach((meter) => meter.addBlock(block)));
  blocks.finish((block) => meters.forEach((meter) => meter.addBlock(block)));
  return {
    format,
    clipping: clipping.finish(),
    levels: levels.finish(),
    bandwidthHz: bandwidth.finish(),
    monoDb: mono.finish(),
    loudnessLufs: chunks.loudnessLufs,
    stepMs: (blocks.stepSamples * 1000) / format.sampleRateHz,
    blockMs: (blocks.blockSamples * 1000) / format.sampleRateHz,
  };
}

/** Compares the sound of a video with its speech. A failure is thrown at the end, so that it costs nothing else. */
class SpeechComparison {
  readonly #speech: AsyncGenerator<Float32Array>;
  readonly #agreement: SpeechAgreement;
  #failure: { readonly error: unknown } | undefined;

  constructor({ path, sound }: AssessmentSpeech, signal: AbortSignal) {
    this.#speech = readMonoSound(path, sound, signal);
    this.#agreement = new SpeechAgreement(this.#speech);
  }

  async add(chunk: Float32Array): Promise<void> {
    if (this.#failure) return;
    try {
      await this.#agreement.push(chunk);
    } catch (error) {
      this.#failure = { error };
    }
  }

  async finish(): Promise<Agreement> {
    try {
      if (this.#failure) throw this.#failure.error;
      return await this.#agreement.finish();
    } finally {
      await this.#speech.return(undefined);
    }
  }
}

/** The parts of `ranges` outside of `excluded`, both ascending. */
export function subtractRanges(ranges: readonly IndexRange[], excluded: readonly IndexRange[]): IndexRange[] {
  let rest = [...ranges];
  for (const { start, end } of excluded)
    rest = rest.flatMap((range) =>
      [
        { start: range.start, end: Math.min(range.end, start) },
        { start: Math.max(range.start, end), end: range.end },
      ].filter((part) => part.end > part.start),
    );
  return rest;
}
