import { clipFrameAt, framesPerSecond, readSpeech, type SoundSource, type Timeline } from '../../media/index.ts';
import type { SpeechWindow } from './speech-windows.ts';

const sampleRateHz = 16_000;
const stepsPerSecond = 50;
const samplesPerStep = sampleRateHz / stepsPerSecond;
const quietestDb = -60;
/** Sound and picture of a container may begin at different times. */
const largestLagSteps = 10;
/** Correlation of the levels from which two recordings are the same speech. Different speech stays below 0.6. */
const sameSpeech = 0.8;

/**
 * Decodes an audio stream and returns its level per 20 ms, in dBFS; none without a stream. Keeps about 700 KB per hour.
 */
export async function readSoundLevels(
  path: string,
  track: SoundSource | null,
  signal: AbortSignal,
): Promise<readonly number[]> {
  if (!track) return [];
  const levels: number[] = [];
  let [sum, count] = [0, 0];
  for await (const chunk of readSpeech(path, { ...track, signal })) {
    for (let index = 0; index < chunk.length; index += 1) {
      sum += (chunk[index] ?? 0) ** 2;
      count += 1;
      if (count < samplesPerStep) continue;
      levels.push(Math.max(quietestDb, 10 * Math.log10(sum / samplesPerStep)));
      [sum, count] = [0, 0];
    }
  }
  return levels;
}

/** Whether the speech of a window is what the clip itself says there, so that its own lips are right. */
export function isOwnSound(
  window: SpeechWindow,
  timeline: Timeline,
  { clip, speech }: { readonly clip: readonly number[]; readonly speech: readonly number[] },
): boolean {
  const rate = framesPerSecond(timeline.frameRate);
  const steps = Array.from(
    { length: Math.floor(((window.endFrame - window.startFrame) / rate) * stepsPerSecond) },
    (_, step) => Math.round((window.startFrame / rate) * stepsPerSecond) + step,
  );
  const speechPart = steps.map((step) => speech[step] ?? quietestDb);
  for (let lag = -largestLagSteps; lag <= largestLagSteps; lag += 1) {
    const clipPart = steps.map((step) => {
      const frame = Math.min(timeline.frameCount - 1, Math.floor((step / stepsPerSecond) * rate));
      const withinFrame = (step / stepsPerSecond) * rate - frame;
      const clipStep = Math.round(((clipFrameAt(timeline, frame) + withinFrame) / rate) * stepsPerSecond) + lag;
      return clip[clipStep] ?? quietestDb;
    });
    if (correlate(speechPart, clipPart) >= sameSpeech) return true;
  }
  return false;
}

function correlate(first: readonly number[], second: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanFirst, meanSecond] = [mean(first), mean(second)];
  let [product, squareFirst, squareSecond] = [0, 0, 0];
  first.forEach((value, index) => {
    const [a, b] = [value - meanFirst, (second[index] ?? 0) - meanSecond];
    product += a * b;
    squareFirst += a * a;
    squareSecond += b * b;
  });
  return squareFirst * squareSecond === 0 ? 0 : product / Math.sqrt(squareFirst * squareSecond);
}
