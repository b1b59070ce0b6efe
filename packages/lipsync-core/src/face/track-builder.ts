import { framesPerSecond, type FrameRate } from '../media/index.ts';
import type { FaceChoice, FaceDetector, HiddenRange } from './face-types.ts';
import type { DecidedFrames } from './growing-track.ts';
import { MultiFaceTracker, type NumberedPicture } from './multi-face-tracker.ts';
import type { ObservationStore } from './observation-store.ts';
import { ShotDecisions } from './shot-decisions.ts';
import type { TrackDescription, TrackWriter } from './track-file.ts';

/** Length of the fade between a redrawn mouth and the original. */
const fadeSeconds = 0.2;
const memorySeconds = 1.2;
const detectionIntervalSeconds = 1;
/** Decided frames are reported in steps of this length, because each report describes the whole track up to there. */
const reportSeconds = 5;

export interface TrackBuilderOptions {
  readonly frameCount: number;
  readonly frameRate: FrameRate;
  readonly detector: FaceDetector;
  /** Scale from analysis pixels to clip pixels: x, y and depth. */
  readonly scale: readonly [x: number, y: number, z: number];
  readonly writer: TrackWriter;
  /** Holds the observations of one shot at a time. */
  readonly store: ObservationStore;
  /** Called after more frames were decided. */
  onDecided(frames: DecidedFrames): void;
}

/** Collects the observations of a shot, and writes its part of the track in sections. */
export class TrackBuilder {
  readonly #options: TrackBuilderOptions;
  readonly #framesPerSecond: number;
  readonly #fadeFrames: number;
  readonly #shotStarts = [0];
  readonly #absentRanges: { start: number; end: number }[] = [];
  /** Those of the shots before the current one. */
  readonly #hiddenRanges: HiddenRange[] = [];
  readonly #faceChoices: FaceChoice[] = [];
  #reportedFrames = 0;
  #tracker: MultiFaceTracker;
  #decisions: ShotDecisions;

  constructor(options: TrackBuilderOptions) {
    this.#options = options;
    this.#framesPerSecond = framesPerSecond(options.frameRate);
    this.#fadeFrames = Math.round(fadeSeconds * this.#framesPerSecond);
    this.#tracker = this.#createTracker();
    this.#decisions = this.#createDecisions(0);
  }

  async addFrames(pictures: readonly NumberedPicture[]): Promise<void> {
    const { scale, store } = this.#options;
    for (const observation of await this.#tracker.track(pictures)) {
      const points = observation.points.map((value, index) => value * (scale[index % 3] ?? 1));
      store.add({ ...observation, points });
    }
    const observedEnd = (pictures.at(-1)?.frame ?? -1) + 1;
    const sectionEnd = this.#decisions.sectionEnd(observedEnd);
    if (sectionEnd === undefined) return;
    this.#write(sectionEnd, observedEnd);
    // A mouth that the next section hides fades out in the last frames of this one.
    this.#report(sectionEnd, sectionEnd - this.#fadeFrames);
  }

  /** Ends the current shot before `frame` and returns the description of the track up to there. */
  endShot(frame: number): TrackDescription {
    this.#write(frame, frame);
    this.#hiddenRanges.push(...this.#decisions.hiddenRanges);
    this.#faceChoices.push(...this.#decisions.listFaceChoices());
    this.#options.store.clear();
    this.#tracker = this.#createTracker();
    this.#decisions = this.#createDecisions(frame);
    if (frame < this.#options.frameCount) this.#shotStarts.push(frame);
    this.#report(frame, frame);
    return this.#describe(frame);
  }

  #createTracker(): MultiFaceTracker {
    return new MultiFaceTracker({
      detector: this.#options.detector,
      memoryFrames: Math.ceil(memorySeconds * this.#framesPerSecond),
      detectionIntervalFrames: Math.max(1, Math.round(detectionIntervalSeconds * this.#framesPerSecond)),
    });
  }

  #createDecisions(start: number): ShotDecisions {
    return new ShotDecisions({ start, framesPerSecond: this.#framesPerSecond, store: this.#options.store });
  }

  #write(until: number, observedEnd: number): void {
    for (const { presence, points } of this.#decisions.decide(until, observedEnd)) {
      const frame = this.#options.writer.frameCount;
      this.#options.writer.add(presence, points);
      if (presence === 'absent') this.#addAbsentFrame(frame);
    }
  }

  #addAbsentFrame(frame: number): void {
    const last = this.#absentRanges.at(-1);
    if (last?.end === frame) last.end = frame + 1;
    else this.#absentRanges.push({ start: frame, end: frame + 1 });
  }

  /** Reports that the first `readyFrames` of the decided frames never change. */
  #report(decidedEnd: number, readyFrames: number): void {
    const { frameCount, writer, onDecided } = this.#options;
    const isDue = readyFrames - this.#reportedFrames >= reportSeconds * this.#framesPerSecond;
    if (!isDue && readyFrames < frameCount) return;
    this.#reportedFrames = readyFrames;
    onDecided({ readyFrames, description: this.#describe(decidedEnd), read: (index) => writer.read(index) });
  }

  /** Describes the track up to a frame. */
  #describe(frameCount: number): TrackDescription {
    return {
      frameCount,
      shotStarts: this.#shotStarts,
      absentRanges: this.#absentRanges,
      hiddenRanges: [...this.#hiddenRanges, ...this.#decisions.hiddenRanges],
      faceChoices: this.#faceChoices,
      fadeFrames: this.#fadeFrames,
    };
  }
}
