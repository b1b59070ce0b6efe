import type { QualityLabel } from '../../contract/quality.ts';
import { measureLips } from '../../face/index.ts';
import { framesPerSecond } from '../../media/index.ts';
import {
  findRateObstacle,
  type Analyzer,
  type AnalyzerDefinition,
  type AnalyzerSetup,
  type AssessedFrame,
  type AssessmentSource,
  type AssessmentSpeech,
  type Findings,
  type LabelDefinition,
} from '../analyzer.ts';
import { toLabel } from '../labels.ts';
import { correlationOf, deviationOf, soundAtFrames } from '../lips/lip-series.ts';
import type { VideoSpeech } from '../lips/video-speech.ts';
import { compareLips, type UnchangedLips } from './compare-lips.ts';

const lipsUnchanged = {
  code: 'lips_unchanged',
  threshold: 0.1,
  unit: 'share of speech',
  fatal: true,
  meaning:
    "The lips are those of the source clip, or do not move, under speech that is not the clip's own sound. Compared in the picture.",
} as const satisfies LabelDefinition;

/** Finds takes that show the old lips. A vendor has returned the clip with the new sound. */
export const unchangedLipsAnalyzer: AnalyzerDefinition = {
  name: 'unchanged_lips',
  parts: [],
  labels: [lipsUnchanged],
  create: (setup) => {
    const { source, speech } = setup.input;
    if (findRateObstacle(setup.framesPerSecond) !== null) return undefined;
    return source && speech && new UnchangedLipsAnalyzer(setup, source, speech);
  },
};

/** Lips are followed in windows of this length. */
const windowS = 2;
/** New lips correlate with the old ones by less than this in every window, and deviate by more than the second value. */
const clearlyNew = { correlation: 0.6, deviation: 0.02 };
/** Share of the frames in which lips must have been measured. */
const neededShare = 0.8;

/** The label of old or still lips; none below its threshold. */
export function labelUnchangedLips({ ranges, share }: UnchangedLips): QualityLabel[] {
  if (ranges.length === 0 || share < lipsUnchanged.threshold) return [];
  const message = 'The lips do not follow the speech: they are those of the clip, or do not move.';
  return [toLabel(lipsUnchanged, { message, ranges, value: share })];
}

class UnchangedLipsAnalyzer implements Analyzer {
  readonly #setup: AnalyzerSetup;
  readonly #source: AssessmentSource;
  readonly #speech: AssessmentSpeech;
  readonly #opening: Float32Array;
  readonly #sourceOpening: Float32Array;

  constructor(setup: AnalyzerSetup, source: AssessmentSource, speech: AssessmentSpeech) {
    this.#setup = setup;
    this.#source = source;
    this.#speech = speech;
    this.#opening = new Float32Array(setup.frameCount).fill(NaN);
    this.#sourceOpening = this.#opening.slice();
  }

  add({ index, points, isMeasured, source }: AssessedFrame): void {
    if (!isMeasured) return;
    if (points) this.#opening[index] = measureLips(points).opening;
    if (source?.points) this.#sourceOpening[index] = measureLips(source.points).opening;
  }

  /** Compares the pictures, unless the landmarks already show other lips: that decodes both files once more. */
  async finish(speech: VideoSpeech): Promise<Findings> {
    if (this.#areClearlyNew(speech)) return {};
    const { input, facts, faces, frameCount, framesPerSecond: rate } = this.#setup;
    const { clipPath, clip, timeline } = this.#source;
    const take = { takePath: input.videoPath, takeFacts: facts, clipPath, clip, timeline, speech: this.#speech };
    const takeFrameOf = (frame: number): number =>
      Math.min(frameCount - 1, Math.round((frame * rate) / framesPerSecond(timeline.frameRate)));
    const isMouthVisible = (frame: number): boolean => faces.isMouthVisible(takeFrameOf(frame));
    return { labels: labelUnchangedLips(await compareLips({ ...take, isMouthVisible }, this.#setup)) };
  }

  #areClearlyNew(speech: VideoSpeech): boolean {
    const measured = this.#opening.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : 1), 0);
    if (measured < (neededShare * this.#opening.length) / this.#setup.faces.every) return false;
    const { frameCount, framesPerSecond } = this.#setup;
    const { talking } = soundAtFrames(speech, frameCount, framesPerSecond);
    const length = Math.round(windowS * framesPerSecond);
    let [windows, unclear] = [0, 0];
    for (let start = 0; start + length / 2 <= this.#opening.length; start += length) {
      const spoken = talking.subarray(start, start + length).reduce((sum, flag) => sum + flag, 0);
      if (spoken < length / 3) continue;
      windows += 1;
      const window = this.#opening.subarray(start, start + length);
      const known = window.filter((value) => !Number.isNaN(value));
      const correlation = correlationOf(window, this.#sourceOpening.subarray(start, start + length));
      // The negations count unknown values as unclear.
      if (!(deviationOf(known) > clearlyNew.deviation) || !(correlation < clearlyNew.correlation)) unclear += 1;
    }
    // In a long take, single windows of new lips resemble the old ones by chance.
    return unclear <= lipsUnchanged.threshold * windows;
  }
}
