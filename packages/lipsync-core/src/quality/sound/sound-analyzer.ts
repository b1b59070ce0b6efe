import { toLipsyncError } from '../../errors/index.ts';
import { loadSession, type OnnxSession } from '../../inference/onnx-session.ts';
import { readMonoSound } from '../../media/index.ts';
import { hashFile } from '../../storage/file-hash.ts';
import type { QualityPart } from '../../contract/quality.ts';
import { toPart, type Analyzer, type AnalyzerDefinition, type AnalyzerSetup, type Findings } from '../analyzer.ts';
import { findSoundObstacle } from '../lips/lip-sync.ts';
import type { VideoSpeech } from '../lips/video-speech.ts';
import { measureSpeechToNoise } from './background-noise.ts';
import { scoreDnsmos, type DnsmosScores } from './dnsmos.ts';
import { findSilences, labelSound } from './sound-labels.ts';
import { SoundMeter, type SoundMeasures } from './sound-measures.ts';
import { soundLabels, soundParts, type SoundPartName } from './sound-tables.ts';

/** Seconds of sound per window of DNSMOS, and the most windows, unless all are scored: 0.4 s of a core each. */
const secondsPerWindow = 10;
const maxWindows = 12;

/** The sound itself: damage, background, band, and agreement with the given speech. */
export const soundAnalyzer: AnalyzerDefinition = {
  name: 'sound',
  parts: Object.values(soundParts),
  labels: Object.values(soundLabels),
  create: (setup) => new SoundAnalyzer(setup),
};

/** A measured value, or why there is none. */
type Measured = { readonly value: number } | { readonly reason: string };

class SoundAnalyzer implements Analyzer {
  readonly #setup: AnalyzerSetup;
  readonly #meter: SoundMeter | undefined;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
    const { input, sound, signal } = setup;
    const { track } = sound;
    this.#meter = track
      ? new SoundMeter({ path: input.videoPath, track, sound, speech: input.speech, signal })
      : undefined;
  }

  async finish(speech: VideoSpeech): Promise<Findings> {
    const sound = await this.#meter?.finish();
    if (!sound) return { parts: toParts(() => ({ reason: 'The video has no sound.' })) };
    const obstacle = findSoundObstacle(speech);
    const dnsmos = await this.#scoreDnsmos(speech, obstacle);
    const values = {
      ...nativeValues(sound),
      ...agreementValues(sound),
      noise: obstacle === null ? { value: measureSpeechToNoise(speech) } : { reason: obstacle },
      ...dnsmosValues(dnsmos.scores),
    } satisfies Record<SoundPartName, Measured>;
    const parts = toParts((name) => values[name]);
    return { parts, labels: labelSound(sound, parts), models: dnsmos.models };
  }

  async #scoreDnsmos(
    { levelDb, stepsPerSecond }: VideoSpeech,
    obstacle: string | null,
  ): Promise<{ readonly scores: DnsmosScores | string; readonly models: Readonly<Record<string, string>> }> {
    const { input, models, resources, signal, sound } = this.#setup;
    if (models.dnsmosPath === undefined) return { scores: 'DNSMOS_MODEL_PATH is not set.', models: {} };
    if (!sound.track) return { scores: 'The video has no sound.', models: {} };
    if (obstacle !== null) return { scores: obstacle, models: {} };
    const seconds = levelDb.length / stepsPerSecond;
    try {
      const { session, sha256 } = await resources.get(dnsmosLoader(models.dnsmosPath));
      const scores = await scoreDnsmos(readMonoSound(input.videoPath, sound.track, signal), {
        session,
        sampleCount: Math.round(seconds * 16_000),
        maxWindows: input.allWindows ? Infinity : Math.min(maxWindows, Math.round(seconds / secondsPerWindow)),
      });
      return { scores: scores ?? 'The video has no sound.', models: { dnsmos: sha256 } };
    } catch (error) {
      if (signal.aborted) throw error;
      // Other parts do not depend on the model.
      return { scores: `The measurement failed. ${toLipsyncError(error).message}`, models: {} };
    }
  }
}

interface DnsmosModel {
  readonly session: OnnxSession;
  readonly sha256: string;
}

const dnsmosLoaders = new Map<string, () => Promise<DnsmosModel>>();

/** The key of the model among the resources of a render process. */
function dnsmosLoader(path: string): () => Promise<DnsmosModel> {
  const load = dnsmosLoaders.get(path) ?? (() => loadDnsmos(path));
  dnsmosLoaders.set(path, load);
  return load;
}

async function loadDnsmos(path: string): Promise<DnsmosModel> {
  const session = await loadSession(path, { threads: 1 });
  return { session, sha256: (await hashFile(path)).sha256 };
}

function toParts(measure: (name: SoundPartName) => Measured): Record<string, QualityPart> {
  // `as`: Object.keys does not keep the names of a table.
  const names = Object.keys(soundParts) as SoundPartName[];
  return Object.fromEntries(
    names.map((name) => {
      const measured = measure(name);
      const definition = soundParts[name];
      const part =
        'value' in measured ? toPart(definition, round(measured.value)) : toPart(definition, null, measured.reason);
      return [definition.name, part];
    }),
  );
}

/** Four significant digits. */
function round(value: number): number {
  return Number(value.toPrecision(4));
}

function nativeValues(sound: SoundMeasures) {
  const { clipping, levels, bandwidthHz, monoDb, loudnessLufs, blockMs } = sound;
  const gapSteps = levels.gaps.reduce((sum, { start, end }) => sum + end - start, 0);
  const silentMs = findSilences(sound).reduce((sum, { start, end }) => sum + end - start, 0);
  return {
    clipping: { value: clipping.share },
    loudness: orReason(loudnessLufs, 'The sound is silent, or shorter than 0.4 s.'),
    silence: { value: Math.min(1, silentMs / Math.max(1, levels.blockCount * blockMs)) },
    bandwidth: orReason(bandwidthHz, 'The sound is silent, or too short.'),
    mono: orReason(monoDb, 'The sound is silent.'),
    gaps: { value: gapSteps / Math.max(1, levels.stepCount) },
  };
}

function agreementValues({ agreement, agreementReason }: SoundMeasures) {
  const silent = agreementReason ?? 'The given speech is silent.';
  const foreign = agreement && agreement.correlation !== null ? 'The sound is not the given speech.' : silent;
  const short = agreement && agreement.delayMs !== null ? 'The video has less than two seconds of speech.' : foreign;
  return {
    delay: orReason(agreement?.delayMs, foreign),
    correlation: orReason(agreement?.correlation, silent),
    skips: orReason(agreement?.skipsMsPerSecond, short),
    missing: orReason(agreement?.missingShare, foreign),
  };
}

function dnsmosValues(scores: DnsmosScores | string) {
  const value = (name: keyof DnsmosScores): Measured =>
    typeof scores === 'string' ? { reason: scores } : { value: scores[name] };
  return { signal: value('signal'), background: value('background'), overall: value('overall') };
}

function orReason(value: number | null | undefined, reason: string): Measured {
  return value === null || value === undefined ? { reason } : { value };
}
