import type { QualityLabel, SyncQuality } from '../../contract/quality.ts';
import { measureLips } from '../../face/index.ts';
import {
  toPart,
  type AnalyzerDefinition,
  type AssessedFrame,
  type Analyzer,
  type AnalyzerSetup,
  type Findings,
} from '../analyzer.ts';
import { lipLabels, lipParts } from './lip-tables.ts';
import { estimateOffset, lagStepMs, maxLagMs, type OffsetEstimate } from './offset-curve.ts';
import type { VideoSpeech } from './video-speech.ts';

/** Correlation from which the offset is reported: below it, it was wrong by up to 15 frames on real clips. */
const reliableStrength = 0.55;

/** Lips and sound without any trained network but the landmarks. */
export const lipAnalyzer: AnalyzerDefinition = {
  name: 'lips',
  parts: Object.values(lipParts),
  labels: Object.values(lipLabels),
  create: (setup) => new LipAnalyzer(setup),
};

class LipAnalyzer implements Analyzer {
  readonly #setup: AnalyzerSetup;
  readonly #opening: Float32Array;
  readonly #sourceOpening: Float32Array;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
    this.#opening = new Float32Array(setup.frameCount).fill(NaN);
    this.#sourceOpening = new Float32Array(setup.input.source ? setup.frameCount : 0).fill(NaN);
  }

  add({ index, points, source }: AssessedFrame): void {
    if (points) this.#opening[index] = measureLips(points).opening;
    if (source?.points) this.#sourceOpening[index] = measureLips(source.points).opening;
  }

  finish(speech: VideoSpeech): Findings {
    const { framesPerSecond, input } = this.#setup;
    const lips = { framesPerSecond, opening: this.#opening };
    const reason = findObstacle(lips.opening, speech);
    const estimate = reason === null ? estimateOffset(lips, speech) : undefined;
    const sync = toSync(estimate, reason);
    return {
      parts: { [lipParts.syncStrength.name]: toPart(lipParts.syncStrength, sync.strength, sync.reason) },
      labels: offsetLabels(sync, (lips.opening.length * 1000) / framesPerSecond),
      sync,
      trace: {
        frameRate: framesPerSecond,
        lipOpening: toValues(this.#opening),
        sourceLipOpening: input.source ? toValues(this.#sourceOpening) : null,
        ...soundPerFrame(speech, lips.opening.length, framesPerSecond),
        offsetCurve: estimate ? curvePoints(estimate) : [],
      },
    };
  }
}

/** Why lips and sound cannot be compared; null when they can. */
function findObstacle(opening: Float32Array, speech: VideoSpeech): string | null {
  if (!speech.hasSound) return 'The video has no sound.';
  if (!speech.voiceFound) return 'The sound contains no voice.';
  const speechShare = speech.active.reduce((sum, value) => sum + value, 0) / speech.active.length;
  if (speechShare < 0.1) return 'Less than 10 % of the sound is speech.';
  if (opening.every(Number.isNaN)) return 'The video shows no face.';
  return null;
}

function toSync(estimate: OffsetEstimate | undefined, reason: string | null): SyncQuality {
  const common = { method: 'lip_audio_correlation', lseC: null, lseD: null } as const;
  if (!estimate)
    return {
      ...common,
      offsetMs: null,
      offsetIntervalMs: null,
      strength: null,
      windows: 0,
      reason: reason ?? 'The video is shorter than two seconds.',
    };
  const strength = Math.round(estimate.strength * 1000) / 1000;
  if (strength < reliableStrength)
    return {
      ...common,
      offsetMs: null,
      offsetIntervalMs: null,
      strength,
      windows: estimate.windows,
      reason: `Lip opening and sound correlate by ${strength.toFixed(2)} only; below ${reliableStrength} the offset is not reliable.`,
    };
  const [low, high] = estimate.intervalMs;
  return {
    ...common,
    offsetMs: Math.round(estimate.offsetMs),
    offsetIntervalMs: [Math.round(low), Math.round(high)],
    strength,
    windows: estimate.windows,
    reason: null,
  };
}

function offsetLabels({ offsetMs, strength }: SyncQuality, durationMs: number): QualityLabel[] {
  if (offsetMs === null || strength === null) return [];
  const { code, threshold, fatal } = offsetMs > 0 ? lipLabels.soundEarly : lipLabels.soundLate;
  if (Math.abs(offsetMs) <= threshold) return [];
  const direction = offsetMs > 0 ? 'before' : 'after';
  const message = `The sound comes ${Math.abs(offsetMs)} ms ${direction} the lips.`;
  const ranges = [{ startMs: 0, endMs: Math.round(durationMs) }];
  return [{ code, message, ranges, value: Math.abs(offsetMs), threshold, fatal }];
}

function toValues(series: Float32Array): (number | null)[] {
  return Array.from(series, (value) => (Number.isNaN(value) ? null : Math.round(value * 10_000) / 10_000));
}

function soundPerFrame({ levelDb, active, stepsPerSecond }: VideoSpeech, frameCount: number, framesPerSecond: number) {
  const stepAt = (frame: number): number => Math.floor(((frame + 0.5) / framesPerSecond) * stepsPerSecond);
  const frames = Array.from({ length: frameCount }, (_, frame) => stepAt(frame));
  return {
    speechLevelDb: frames.map((step) => Math.round((levelDb[step] ?? -160) * 10) / 10),
    voiced: frames.map((step) => active[step] === 1),
  };
}

function curvePoints({ curve }: OffsetEstimate): { lagFrames: number; correlation: number }[] {
  return Array.from(curve, (value, lag) => ({
    lagFrames: (lag * lagStepMs - maxLagMs) / 40,
    correlation: Math.round(value * 1000) / 1000,
  }));
}
