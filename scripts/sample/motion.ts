/** Motion of the presenter besides the mouth: breathing, blinks, gaze, nods. */
import { bell, clamp, mix } from './drawing-math.ts';
import type { Pose } from './face-space.ts';
import type { VoiceFrame } from './voice.ts';

const BLINK_TIMES_S = [0.86, 2.95, 4.62, 7.05];
const BLINK_SPREAD_S = 0.062;
const BREATH_PERIOD_S = 3.7;

/** Computes one pose per frame of the voice. */
export function performVoice(frames: readonly VoiceFrame[], framesPerSecond: number): Pose[] {
  const emphasis = follow(
    frames.map((frame) => frame.loudness),
    0.12,
  );
  const phrase = follow(
    frames.map((frame) => frame.loudness),
    0.04,
  );
  return frames.map((frame, index) => poseAt(index / framesPerSecond, frame, emphasis[index] ?? 0, phrase[index] ?? 0));
}

function poseAt(timeS: number, voice: VoiceFrame, emphasis: number, phrase: number): Pose {
  const yaw = 0.075 * wave(timeS, 5.3, 0.1) + 0.035 * wave(timeS, 2.1, 0.6);
  const pitch = 0.03 * wave(timeS, 3.9, 0.35) + 0.075 * (emphasis - 0.35);
  return {
    yaw,
    pitch,
    roll: 0.022 * wave(timeS, 4.4, 0.75) - 0.12 * yaw,
    shiftX: 5 * wave(timeS, 6.1, 0.2) + 26 * yaw,
    shiftY: 3 * emphasis + 2 * wave(timeS, 3.1, 0.5),
    breath: 0.5 + 0.5 * wave(timeS, BREATH_PERIOD_S, -0.2),
    eyeOpening: eyeOpeningAt(timeS),
    gazeX: -16 * yaw + gazeShift(timeS),
    gazeY: -9 * pitch,
    browRaise: 5.5 * phrase + 3 * bell(timeS - 0.35, 0.25) + 2.4 * bell(timeS - 5.3, 0.4) - 1.5,
    mouth: { opening: clamp(0.88 * voice.opening, 0, 1), spread: clamp(voice.spread + 0.12, -1, 1) },
  };
}

function wave(timeS: number, periodS: number, phase: number): number {
  return Math.sin(2 * Math.PI * (timeS / periodS + phase));
}

function eyeOpeningAt(timeS: number): number {
  const closed = Math.max(...BLINK_TIMES_S.map((blinkS) => bell(timeS - blinkS, BLINK_SPREAD_S)));
  return mix(0.96, 0, Math.min(1, closed * 1.08));
}

/** Saccades: the gaze rests, then jumps to the next position. */
function gazeShift(timeS: number): number {
  const [, shift] = (
    [
      [6.6, 0.4],
      [4.7, -0.6],
      [2.9, 0.8],
      [0, -0.3],
    ] as const
  ).find(([fromS]) => timeS >= fromS) ?? [0, 0];
  return shift;
}

/** Exponential smoothing, applied forward and backward so that it adds no lag. */
function follow(signal: readonly number[], share: number): number[] {
  const once = (values: readonly number[]): number[] => {
    let level = values[0] ?? 0;
    return values.map((value) => (level += share * (value - level)));
  };
  return once(once(signal).toReversed()).toReversed();
}
