import type { SoundMix } from '../media-types.ts';
import { viewSamples } from '../sample-decoder.ts';

/** Filters that mix the channels of a recording to the mono sound that is analyzed; none for plain mono. Pure. */
export function monoFilters(mix: SoundMix | undefined): readonly string[] {
  if (!mix || (mix.weights.length === 1 && mix.gain === 1)) return [];
  const terms = mix.weights.flatMap((weight, channel) =>
    weight === 0 ? [] : [`${weight < 0 ? '-' : '+'}${Math.abs(weight * mix.gain).toFixed(6)}*c${channel}`],
  );
  return ['aformat=sample_fmts=fltp', `pan=mono|c0=${terms.join('').replace(/^\+/, '')}`];
}

/** Filters that make the sound of a take and of the file for a vendor: the mono mix, or the channels at its level. Pure. */
export function trackFilters(mix: SoundMix | undefined): readonly string[] {
  if (mix?.isMixed) return monoFilters(mix);
  return mix === undefined || mix.gain === 1
    ? []
    : ['aformat=sample_fmts=fltp', `volume=${mix.gain.toFixed(6)}:precision=float`];
}

/**
 * Mixes interleaved 32-bit floats to mono, without lowering their level. Chunks hold whole samples of all channels.
 * Samples above the peaks of the mix are damage and are cut.
 */
export async function* mixToMono(
  chunks: AsyncIterable<Buffer>,
  { weights, gain }: SoundMix,
): AsyncGenerator<Buffer, void> {
  const peak = 1 / gain;
  const used = weights.flatMap((weight, channel) => (weight === 0 ? [] : [{ weight, channel }]));
  for await (const chunk of chunks) {
    const samples = viewSamples(chunk);
    const mono = new Float32Array(samples.length / weights.length);
    for (const { weight, channel } of used) {
      for (let index = 0; index < mono.length; index += 1) {
        const sample = samples[index * weights.length + channel] ?? 0;
        mono[index] = (mono[index] ?? 0) + weight * Math.max(-peak, Math.min(peak, sample));
      }
    }
    yield Buffer.from(mono.buffer);
  }
}

/** How channels are converted to mono where nothing was measured: their mean, not their sum at equal power. */
export const meanOfChannels = 'rematrix_maxval=1:ochl=mono';

/**
 * Restores the level of parts that are converted to stereo: mono loses 3 dB, and surround 7.7 dB.
 * Evaluated again for each part, because ffmpeg then rebuilds its filters.
 */
const levelOfParts = `volume=volume='if(eq(nb_channels,1),1.414214,if(gte(nb_channels,5),2.414214,1))':precision=float`;

/** Filter that keeps the channels of a stream, also where its layout changes within the file. Pure. */
export function keepChannels(layout: string | undefined): readonly string[] {
  // A layout without a name is reported as "3 channels (FL+FR+LFE)".
  const name = /^\d+ channels \(([A-Z+]+)\)$/.exec(layout ?? '')?.[1] ?? layout ?? '';
  if (!/^[\w.()+]+$/.test(name) || name === 'unknown') return [];
  return [...(name === 'stereo' ? [levelOfParts] : []), `aresample=rematrix_maxval=1:ochl='${name}'`];
}
