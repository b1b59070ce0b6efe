import { hiddenMouths } from '../../face/face-warnings.ts';
import type { Analyzer, AnalyzerDefinition, AnalyzerSetup, Findings, LabelDefinition } from '../analyzer.ts';
import { findRuns, toLabel, toTimes } from '../labels.ts';

const framesWithoutFace: LabelDefinition = {
  code: 'frames_without_face',
  threshold: 0,
  unit: 'share of frames',
  fatal: false,
  meaning: 'No face is visible.',
};

const hiddenLabels = Object.entries(hiddenMouths).map(([reason, { code, fault }]) => ({
  reason,
  fault,
  definition: { code, threshold: 0, unit: 'share of frames', fatal: false, meaning: `${fault}.` },
}));

/** Where the mouth cannot be judged, by the face track. The codes are those of a job's warnings. */
export const faceAnalyzer: AnalyzerDefinition = {
  name: 'faces',
  parts: [],
  labels: [framesWithoutFace, ...hiddenLabels.map(({ definition }) => definition)],
  create: (setup) => new FaceAnalyzer(setup),
};

class FaceAnalyzer implements Analyzer {
  readonly #setup: AnalyzerSetup;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
  }

  finish(): Findings {
    const { track } = this.#setup.faces;
    if (!track)
      return { labels: this.#labelOf(framesWithoutFace, 'No face is visible', [{ start: 0, end: Infinity }]) };
    return {
      labels: [
        ...this.#labelOf(framesWithoutFace, 'No face is visible', track.absentRanges),
        ...hiddenLabels.flatMap(({ reason, fault, definition }) =>
          this.#labelOf(
            definition,
            fault,
            track.hiddenRanges.filter((range) => range.reason === reason),
          ),
        ),
      ],
    };
  }

  /** The label of ranges of the track, as ranges of the video. */
  #labelOf(definition: LabelDefinition, fault: string, tracked: readonly { start: number; end: number }[]) {
    if (tracked.length === 0) return [];
    const { faces, frameCount, framesPerSecond } = this.#setup;
    const isInside = (index: number): boolean => {
      const frame = faces.trackFrameAt(index);
      return tracked.some(({ start, end }) => frame >= start && frame < end);
    };
    const ranges = findRuns(frameCount, isInside);
    const frames = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    if (frames === 0) return [];
    return [
      toLabel(definition, {
        message: `${fault}.`,
        ranges: toTimes(ranges, framesPerSecond),
        value: frames / frameCount,
      }),
    ];
  }
}
