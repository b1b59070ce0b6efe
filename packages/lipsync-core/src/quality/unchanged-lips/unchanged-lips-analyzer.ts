import type { QualityLabel, QualityRange } from '../../contract/quality.ts';
import { measureLips } from '../../face/index.ts';
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
/** In a long take, single windows of new lips resemble the old ones by chance. */
const unclearShare = 0.1;
/** Share of the frames in which lips must have been measured. */
const neededShare = 0.8;

/** The label of old or still lips; none below its threshold, because single windows look alike by chance. */
export function labelUnchangedLips({ ranges, share }: UnchangedLips): QualityLabel[] {
  if (ranges.length === 0 || share < lipsUnchanged.threshold) return [];
  const message = 'The lips do not follow the speech: they are those of the clip, or do not move.';
  return [toLabel(lipsUnchanged, { message, ranges, value: share })];
}

/**
 * Leaves out the ranges in which the mouth is hidden for half of the time or more: the picture of the clip is right
 * there. `visibleShare` returns the share of a range in which the mouth is visible.
 */
export function withoutHidden(
  { ranges, share }: UnchangedLips,
  visibleShare: (range: QualityRange) => number,
): UnchangedLips {
  const lengthOf = (some: readonly QualityRange[]): number =>
    some.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  const seen = ranges.filter((range) => visibleShare(range) > 0.5);
  return { ranges: seen, share: seen.length === 0 ? 0 : (share * lengthOf(seen)) / lengthOf(ranges) };
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
    const { input, limits } = this.#setup;
    const { clipPath, clip, timeline } = this.#source;
    const take = { takePath: input.videoPath, clipPath, clip, timeline, speech: this.#speech, limits };
    const unchanged = await compareLips(take, this.#setup);
    return { labels: labelUnchangedLips(withoutHidden(unchanged, (range) => this.#visibleShare(range))) };
  }

  #visibleShare({ startMs, endMs }: QualityRange): number {
    const { faces, frameCount, framesPerSecond } = this.#setup;
    const frames = [startMs, endMs].map((timeMs) => Math.round((timeMs * framesPerSecond) / 1000));
    const [start = 0, end = 0] = frames.map((frame) => Math.min(frame, frameCount));
    let visible = 0;
    for (let index = start; index < end; index += 1)
      if ((faces.track?.visibility(faces.trackFrameAt(index)) ?? 1) >= 0.5) visible += 1;
    return visible / Math.max(1, end - start);
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
    return unclear <= unclearShare * windows;
  }
}
