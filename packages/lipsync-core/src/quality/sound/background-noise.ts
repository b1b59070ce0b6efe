import { bandCount } from '../../audio/speech-features.ts';
import { quantile } from '../../audio/time-series.ts';
import type { VideoSpeech } from '../lips/video-speech.ts';

/** Steps of 10 ms beside speech that are neither: the decay of a room, breath. */
const marginSteps = 15;
/** Pauses of at least this many steps show the background. */
const minPauseSteps = 10;
/** Pauses that were muted do not contain the background of the speech, … */
const mutedDb = -90;
/** … whose own quietest moments are this far below it even in clean recordings. */
const cleanSpeechDb = 25;
/** The quietest moments of a band in continuous speech, and their distance from the mean of a steady noise. */
const quietShare = 0.05;
const quietBiasDb = 4;
/** The range that can be told apart, dB. */
const range = { lowestDb: -10, highestDb: 60 };

/**
 * Ratio of speech to background, dB: by the median of the pauses, or in continuous speech by its quietest moments. Call
 * it for sound with speech.
 */
export function measureSpeechToNoise(speech: VideoSpeech): number {
  const voiced = meanPower(speech.levelDb.filter((_, step) => speech.active[step] === 1));
  const pauses = findPauses(speech);
  const quietRatioDb = toRatioDb(voiced, quietNoise(speech));
  if (pauses.length < minPauseSteps) return quietRatioDb;
  const medianDb = quantile(pauses, 0.5) ?? mutedDb;
  if (medianDb > mutedDb) return toRatioDb(voiced, 10 ** (medianDb / 10));
  return quietRatioDb >= cleanSpeechDb ? range.highestDb : quietRatioDb;
}

function toRatioDb(voiced: number, noise: number): number {
  const ratioDb = 10 * Math.log10(Math.max(voiced - noise, voiced * 1e-3) / Math.max(noise, 1e-16));
  return Math.max(range.lowestDb, Math.min(range.highestDb, ratioDb));
}

/** Levels of the steps that lie away from speech. */
function findPauses({ levelDb, active }: VideoSpeech): Float32Array {
  const nearSpeech = new Uint8Array(active.length);
  active.forEach((value, step) => {
    if (value === 1) nearSpeech.fill(1, Math.max(0, step - marginSteps), step + marginSteps + 1);
  });
  return levelDb.filter((_, step) => nearSpeech[step] === 0);
}

/** Sum over the bands of their power in the quietest moments of speech. Holes in the sound do not count. */
function quietNoise({ levelDb, bandsDb, active }: VideoSpeech): number {
  const sounding = (step: number): boolean => active[step] === 1 && (levelDb[step] ?? mutedDb) > mutedDb;
  let power = 0;
  for (let band = 0; band < bandCount; band += 1) {
    const bandDb = Float32Array.from(active, (_, step) => bandsDb[step * bandCount + band] ?? mutedDb);
    const levels = bandDb.filter((_, step) => sounding(step));
    power += 10 ** (((quantile(levels, quietShare) ?? mutedDb) + quietBiasDb) / 10);
  }
  return power;
}

function meanPower(levelsDb: Float32Array): number {
  return levelsDb.reduce((sum, level) => sum + 10 ** (level / 10), 0) / Math.max(1, levelsDb.length);
}
