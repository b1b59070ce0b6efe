import { inputArguments, selectSound } from '../ffmpeg-arguments.ts';
import type { SoundSource } from '../media-types.ts';
import { silenceNonFinite } from '../sample-decoder.ts';
import { meanOfChannels, monoFilters } from './sound-mix.ts';
import { monoSamples, savedSamples } from './speech-samples.ts';

/** Sample rate of speech analysis, equal to that of audio/speech-features.ts. */
const sampleRateHz = 16_000;

export interface SpeechReadOptions extends SoundSource {
  /** Receives the samples when all of them have been read; a later read names it as `samplesPath`. */
  readonly saveTo?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The samples of a speech recording, for a single iteration. Leaving the loop early stops the decoder. */
export interface SpeechStream extends AsyncIterable<Float32Array> {
  /** Number of non-finite samples so far (NaN, infinite), which are replaced by silence. */
  readonly nanSamples: number;
}

/**
 * Decodes a speech recording to mono at 16 kHz with samples from −1 to 1, in chunks of a few thousand samples that the
 * caller owns. Iteration throws `media_failed` or the abort error.
 */
export function readSpeech(path: string, { signal, saveTo, ...sound }: SpeechReadOptions): SpeechStream {
  let nanSamples = 0;
  async function* read(): AsyncGenerator<Float32Array> {
    const decoded = monoSamples(sound, decodeArguments(path, sound), signal);
    for await (const samples of saveTo === undefined ? decoded : savedSamples(decoded, saveTo)) {
      nanSamples += silenceNonFinite(samples, 1);
      yield samples;
    }
  }
  return {
    [Symbol.asyncIterator]: read,
    get nanSamples() {
      return nanSamples;
    },
  };
}

function decodeArguments(path: string, { streamIndex, mix }: SoundSource): readonly string[] {
  return [
    ...inputArguments(path),
    ...selectSound(streamIndex),
    '-af',
    [...monoFilters(mix), `aresample=${sampleRateHz}:${meanOfChannels}`].join(','),
    '-f',
    'f32le',
    'pipe:1',
  ];
}
