import type { QualityLabel, QualityPart } from '../../contract/quality.ts';
import { measureLips } from '../../face/index.ts';
import {
  toPart,
  type Analyzer,
  type AnalyzerDefinition,
  type AnalyzerSetup,
  type AssessedFrame,
  type Findings,
  type PartDefinition,
} from '../analyzer.ts';
import { findRuns, toLabel, toTimes } from '../labels.ts';
import {
  bilabialClosure,
  frozenSpeech,
  frozenWindows,
  lipDynamics,
  lipLeak,
  loudnessDistance,
  missing,
  pauseOpening,
  silentMotion,
  type Measured,
} from './lip-measures.ts';
import { soundAtFrames, valuesWhere, type FrameSound, type LipSeries } from './lip-series.ts';
import { lipLabels, lipParts } from './lip-tables.ts';
import { estimateSync, findLipObstacle, findSoundObstacle, offsetLabels } from './lip-sync.ts';
import { curvePoints } from './offset-curve.ts';
import type { VideoSpeech } from './video-speech.ts';

/** Lips and sound without any trained network but the landmarks. */
export const lipAnalyzer: AnalyzerDefinition = {
  name: 'lips',
  parts: Object.values(lipParts),
  labels: Object.values(lipLabels),
  create: (setup) => new LipAnalyzer(setup),
};

type LipSetup = Pick<AnalyzerSetup, 'framesPerSecond' | 'frameCount' | 'input' | 'faces'>;

/** Gaps between frames of a defect that are closed in its ranges. */
const longestGapS = 0.2;
/** Sound below this level is not heard, dBFS. */
const silentDb = -50;
/** Less time in pauses gives no label: around short ones, mouths that speak are open and move. */
const fewestPauseS = 1;

/** Collects the lip opening of every frame and compares it with the sound. Keeps twelve bytes per frame. */
class LipAnalyzer implements Analyzer {
  readonly #setup: LipSetup;
  readonly #opening: Float32Array;
  /** The same without frames in which the mouth is hidden; there a take shows the source. */
  readonly #judged: Float32Array;
  readonly #sourceOpening: Float32Array;
  readonly #isLost: Uint8Array;

  constructor(setup: LipSetup) {
    this.#setup = setup;
    this.#opening = new Float32Array(setup.frameCount).fill(NaN);
    this.#judged = this.#opening.slice();
    this.#sourceOpening = this.#opening.slice();
    this.#isLost = new Uint8Array(setup.frameCount);
  }

  add({ index, points, isMeasured, source }: Pick<AssessedFrame, 'index' | 'points' | 'isMeasured' | 'source'>): void {
    if (!isMeasured) return;
    const opening = points ? measureLips(points).opening : NaN;
    this.#opening[index] = opening;
    if (this.#setup.faces.isMouthVisible(index)) this.#judged[index] = opening;
    if (!source?.points) return;
    this.#sourceOpening[index] = measureLips(source.points).opening;
    if (!points) this.#isLost[index] = 1;
  }

  /** May be called again with another sound. */
  finish(speech: VideoSpeech): Findings {
    const { framesPerSecond, frameCount, input, faces } = this.#setup;
    const { every } = faces;
    const lips: LipSeries = { framesPerSecond, every, opening: this.#judged };
    const sound = soundAtFrames(speech, frameCount, framesPerSecond);
    const { sync, estimate } = estimateSync(lips, speech, faces.track);
    const durationMs = (frameCount * 1000) / framesPerSecond;
    const parts = this.#measureParts(lips, sound, speech);
    const strength = sync.strength === null ? missing(sync.reason ?? 'It was not measured.') : known(sync.strength);
    return {
      parts: toParts({ ...parts, syncStrength: strength }),
      source: this.#measureSource(sound),
      labels: [
        ...offsetLabels(sync, { late: lipLabels.soundLate, early: lipLabels.soundEarly, durationMs }),
        ...this.#soundLabels(lips, { sound, parts, speech }),
        ...this.#faceLabels(),
      ],
      sync,
      trace: {
        frameRate: framesPerSecond,
        lipOpening: toValues(this.#opening, every),
        sourceLipOpening: input.source ? toValues(this.#sourceOpening, every) : null,
        speechLevelDb: Array.from(sound.levelDb, (level) => Math.round(level * 10) / 10),
        voiced: Array.from(sound.talking, (flag) => flag === 1),
        offsetCurve: estimate ? curvePoints(estimate) : [],
      },
    };
  }

  #measureParts(lips: LipSeries, sound: FrameSound, speech: VideoSpeech) {
    const noLips = findLipObstacle(lips, this.#setup.faces.track);
    const noVoice = findSoundObstacle(speech) ?? noLips;
    const noPause = isSilent(speech) ? noLips : noVoice;
    const unless = (obstacle: string | null, measure: () => Measured): Measured =>
      obstacle === null ? measure() : missing(obstacle);
    return {
      loudnessDistance: unless(noVoice, () => loudnessDistance(lips, sound)),
      lipDynamics: unless(noVoice, () => lipDynamics(lips, sound)),
      frozenSpeech: unless(noVoice, () => frozenSpeech(lips, sound)),
      pauseOpening: unless(noPause, () => pauseOpening(lips, sound)),
      silentMotion: unless(noPause, () => silentMotion(lips, sound)),
      bilabialClosure: unless(noVoice, () => bilabialClosure(lips, speech.closure)),
      lipLeak: this.#setup.input.source ? lipLeak(lips, this.#sourceOpening) : missing('No source clip was given.'),
    };
  }

  /** Motion of the source's own lips in the same frames; its own sound is not part of the video. */
  #measureSource(sound: FrameSound): Readonly<Record<string, number | null>> {
    const { framesPerSecond, input, faces } = this.#setup;
    if (!input.source) return {};
    const lips = { framesPerSecond, every: faces.every, opening: this.#sourceOpening };
    const { value } = lipDynamics(lips, { ...sound, talking: sound.talking.map(() => 1) });
    return { [lipParts.lipDynamics.name]: value === null ? null : roundFigure(value) };
  }

  #soundLabels(
    lips: LipSeries,
    {
      sound,
      parts,
      speech,
    }: {
      readonly sound: FrameSound;
      readonly parts: Readonly<Record<'frozenSpeech' | 'pauseOpening' | 'silentMotion', Measured>>;
      readonly speech: VideoSpeech;
    },
  ): QualityLabel[] {
    const { framesPerSecond, frameCount } = this.#setup;
    const labels: QualityLabel[] = [];
    const pauses = toTimes(
      findRuns(frameCount, (frame) => sound.pausing[frame] === 1),
      framesPerSecond,
    );
    const { mouthFrozen, mouthOpenInPause, mouthMovesInSilence } = lipLabels;
    const isBeyond = ({ value }: Measured, { threshold }: { readonly threshold: number }): boolean =>
      value !== null && value >= threshold;
    if (isBeyond(parts.frozenSpeech, mouthFrozen)) {
      const ranges = toTimes(frozenWindows(lips, sound).ranges, framesPerSecond);
      const message = 'The mouth does not move under the speech.';
      labels.push(toLabel(mouthFrozen, { message, ranges, value: parts.frozenSpeech.value ?? 0 }));
    }
    const pauseFrames = valuesWhere(lips, sound.pausing).length * lips.every;
    if (pauseFrames < fewestPauseS * framesPerSecond) return labels;
    if (speech.voiceFound && isBeyond(parts.pauseOpening, mouthOpenInPause)) {
      const message = 'The mouth stays open in pauses of the speech.';
      labels.push(toLabel(mouthOpenInPause, { message, ranges: pauses, value: parts.pauseOpening.value ?? 0 }));
    }
    if (isBeyond(parts.silentMotion, mouthMovesInSilence)) {
      const message = speech.voiceFound
        ? 'The lips move in pauses of the speech.'
        : 'The lips move although the sound is silent.';
      labels.push(toLabel(mouthMovesInSilence, { message, ranges: pauses, value: parts.silentMotion.value ?? 0 }));
    }
    return labels;
  }

  #faceLabels(): QualityLabel[] {
    const { framesPerSecond, frameCount } = this.#setup;
    const { every } = this.#setup.faces;
    const share = (this.#isLost.reduce((sum, flag) => sum + flag, 0) * every) / frameCount;
    if (share < lipLabels.faceLost.threshold) return [];
    const gap = Math.round(longestGapS * framesPerSecond);
    const ranges = findRuns(frameCount, (frame) => this.#isLost[frame] === 1, gap);
    const message = 'The face of the source clip cannot be found in the video.';
    return [toLabel(lipLabels.faceLost, { message, ranges: toTimes(ranges, framesPerSecond), value: share })];
  }
}

/** Whether a sound is silent all the time, so that a mouth has no reason to move. Music is not. */
function isSilent({ hasSound, levelDb }: VideoSpeech): boolean {
  return hasSound && levelDb.every((level) => level < silentDb);
}

function known(value: number): Measured {
  return { value, reason: null };
}

function toParts(measured: Readonly<Record<keyof typeof lipParts, Measured>>): Record<string, QualityPart> {
  const parts = Object.entries<PartDefinition>(lipParts).map(([key, definition]) => {
    // `as`: Object.entries widens the keys of the table.
    const { value, reason } = measured[key as keyof typeof lipParts];
    return [definition.name, toPart(definition, value === null ? null : roundFigure(value), reason)];
  });
  return Object.fromEntries(parts);
}

/** The measured values, interpolated linearly in the frames between them. */
function toValues(series: Float32Array, every: number): (number | null)[] {
  return Array.from(series, (_, frame) => {
    const step = frame % every;
    const value = series[frame - step] ?? NaN;
    const next = series[frame - step + every] ?? value;
    const mixed = step === 0 ? value : value + ((next - value) * step) / every;
    return Number.isNaN(mixed) ? null : roundFigure(mixed);
  });
}

function roundFigure(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
