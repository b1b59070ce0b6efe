import { analysisSampleRateHz } from '../../audio/speech-features.ts';
import {
  measureLoudness,
  probeSound,
  readMonoSound,
  readSound,
  readSoundDelayMs,
  type SoundFormat,
} from '../../media/index.ts';
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
  readonly stepMs: number;
  readonly blockMs: number;
}

export interface SoundMeasures extends NativeSound {
  /** Start of the sound relative to the picture. */
  readonly delayMs: number;
  readonly loudnessLufs: number | null;
  /** Null without a given speech, or with `agreementReason`. */
  readonly agreement: Agreement | null;
  /** Why there is no agreement; null otherwise. */
  readonly agreementReason: string | null;
}

/**
 * Measures the first audio stream of a video in three passes, each with bounded memory. `speechPath` is the recording
 * that the video speaks from its start. Returns null without sound. Throws `media_failed` or the abort error.
 */
export async function measureSound(
  path: string,
  speechPath: string | undefined,
  signal: AbortSignal,
): Promise<SoundMeasures | null> {
  const format = await probeSound(path, signal);
  if (!format) return null;
  const delayMs = await readSoundDelayMs(path, { signal });
  const [native, loudnessLufs, agreement] = await Promise.all([
    measureNative(readSound(path, format, signal), format),
    measureLoudness(path, signal),
    speechPath === undefined
      ? null
      : compareSpeech(readMonoSound(path, signal), readMonoSound(speechPath, signal), delayMs),
  ]);
  const agreementReason = findAgreementObstacle(native, speechPath);
  return { ...native, delayMs, loudnessLufs, agreement: agreementReason === null ? agreement : null, agreementReason };
}

/** Speech and agreement are measured on a mono mix. */
function findAgreementObstacle({ monoDb }: NativeSound, speechPath: string | undefined): string | null {
  if (speechPath === undefined) return 'The video was assessed without the speech that it was made from.';
  return (monoDb ?? 0) < soundLabels.cancel.threshold ? 'The channels of the sound cancel each other.' : null;
}

/** Measures interleaved samples of `format`. */
async function measureNative(chunks: AsyncIterable<Float32Array>, format: SoundFormat): Promise<NativeSound> {
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
    stepMs: (blocks.stepSamples * 1000) / format.sampleRateHz,
    blockMs: (blocks.blockSamples * 1000) / format.sampleRateHz,
  };
}

/** Compares mono sound at 16 kHz that starts `delayMs` after the picture with the speech. */
async function compareSpeech(
  sound: AsyncIterable<Float32Array>,
  speech: AsyncGenerator<Float32Array>,
  delayMs: number,
): Promise<Agreement> {
  const agreement = new SpeechAgreement(speech);
  let dropped = Math.round((delayMs * analysisSampleRateHz) / 1000);
  try {
    if (dropped > 0) await agreement.push(new Float32Array(dropped));
    for await (const chunk of sound) {
      await agreement.push(dropped < 0 ? chunk.subarray(Math.min(chunk.length, -dropped)) : chunk);
      dropped = Math.min(0, dropped + chunk.length);
    }
    return await agreement.finish();
  } finally {
    await speech.return(undefined);
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
