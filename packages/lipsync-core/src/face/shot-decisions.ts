import type { FaceChoice, FaceFrame, HiddenRange } from './face-types.ts';
import { HiddenMouths } from './hidden-ranges.ts';
import type { ObservationStore, StoredObservation } from './observation-store.ts';
import { listFaceChoices } from './select-faces.ts';
import { trackShot } from './shot-track.ts';

/**
 * A longer shot is decided in sections of `sectionSeconds`, each from what is observed up to `lookAheadSeconds` after it
 * and at least `contextSeconds` before it. A shot that is shorter than section and look-ahead is decided as a whole.
 */
const sectionSeconds = 10;
const lookAheadSeconds = 10;
const contextSeconds = 10;
const longestGapSeconds = 0.4;

export interface ShotDecisionsOptions {
  /** First frame of the shot. */
  readonly start: number;
  readonly framesPerSecond: number;
  /** The observations of the shot, which the caller adds. */
  readonly store: ObservationStore;
}

/**
 * Decides which face of a shot is animated, where it is, and where its mouth is hidden. Decided frames never change. Holds
 * the observations of the context and of the undecided frames, so memory does not depend on the length of the shot.
 */
export class ShotDecisions {
  readonly #options: ShotDecisionsOptions;
  readonly #hidden: HiddenMouths;
  readonly #contextFrames: number;
  /** Selected observations of the context before the first undecided frame. */
  #context: readonly StoredObservation[] = [];
  /** First and last decided frame of each selected face. */
  readonly #spans = new Map<number, { readonly firstFrame: number; lastFrame: number }>();
  #decidedEnd: number;

  constructor(options: ShotDecisionsOptions) {
    const { start, framesPerSecond, store } = options;
    this.#options = options;
    this.#hidden = new HiddenMouths({ store, framesPerSecond, shotStart: start });
    this.#contextFrames = Math.round(contextSeconds * framesPerSecond);
    this.#decidedEnd = start;
  }

  /** Ranges of decided frames with a hidden mouth, in order. */
  get hiddenRanges(): readonly HiddenRange[] {
    return this.#hidden.ranges;
  }

  /** The end of the section to decide when all frames before `observedEnd` are observed; undefined before that. */
  sectionEnd(observedEnd: number): number | undefined {
    const { framesPerSecond } = this.#options;
    const end = observedEnd - Math.round(lookAheadSeconds * framesPerSecond);
    return end - this.#decidedEnd >= Math.round(sectionSeconds * framesPerSecond) ? end : undefined;
  }

  /** Decides the frames before `until` and yields them in order. All frames before `observedEnd` are observed. */
  *decide(until: number, observedEnd: number): Generator<FaceFrame> {
    const { start, framesPerSecond, store } = this.#options;
    const from = this.#decidedEnd;
    const shown = this.#context.at(-1)?.identity;
    const selected = store.select({ from, shotLength: observedEnd - start, shown });
    const observations = [...this.#context, ...selected];
    const window = { start: Math.max(start, from - this.#contextFrames), end: observedEnd };
    this.#hidden.decide({ from, until, window, observations });
    const longestGapFrames = Math.round(longestGapSeconds * framesPerSecond);
    const shot = { start, end: observedEnd, framesPerSecond, store };
    yield* trackShot({ ...shot, from, until, longestGapFrames, observations });
    for (const { identity, frame } of selected) {
      if (frame >= until) continue;
      const span = this.#spans.get(identity) ?? { firstFrame: frame, lastFrame: frame };
      span.lastFrame = frame;
      this.#spans.set(identity, span);
    }
    this.#context = observations.filter(({ frame }) => frame < until && frame >= until - this.#contextFrames);
    store.forget(until);
    this.#decidedEnd = until;
  }

  /** The times in which other faces are visible beside the selected ones. Call after the last frame is decided. */
  listFaceChoices(): readonly FaceChoice[] {
    const all = this.#options.store.listTracklets();
    const selected = all.flatMap((tracklet) => {
      const span = this.#spans.get(tracklet.identity);
      return span ? [{ ...tracklet, ...span }] : [];
    });
    const inOrder = selected.sort((first, second) => first.firstFrame - second.firstFrame);
    return listFaceChoices(inOrder, all, this.#decidedEnd - this.#options.start);
  }
}
