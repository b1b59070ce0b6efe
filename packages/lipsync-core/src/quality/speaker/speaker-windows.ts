import type { ColorTags, Picture } from '../../media/index.ts';
import { LumaPatch, smoothBox, type SpeakerBox } from './mouth-crop.ts';
import { speakerCropPx } from './speaker-network.ts';

/** Frames per second of the crops. */
export const speakerFramesPerSecond = 25;
/** Two seconds. Scores of other lengths must not be compared: the score grows with the length. */
export const windowFrames = 50;
/** Windows that are scored by default: ten seconds, spread over the video. */
const defaultWindows = 5;
/** Frames without a face that a window may have; they keep the last box. */
const maxMissingFrames = 5;
/** Boxes that are smoothed together. */
const smoothedBoxes = 13;

/** First frames, at 25 frames per second, of the windows that are scored. They do not overlap. */
export function chooseWindows(frameCount: number, allWindows: boolean): readonly number[] {
  const possible = Math.floor(frameCount / windowFrames);
  const chosen = allWindows ? possible : Math.min(possible, defaultWindows);
  const last = frameCount - windowFrames;
  return Array.from({ length: chosen }, (_, index) =>
    chosen === 1 ? Math.floor(last / 2) : Math.floor((index * last) / (chosen - 1)),
  );
}

interface WaitingFrame {
  readonly frame: number;
  readonly patch: LumaPatch;
}

/** Collects the crops of one face in one window. Keeps the luma of at most seven frames, which wait for later boxes. */
export class FaceWindow {
  readonly crops = new Uint8Array(windowFrames * speakerCropPx ** 2);
  readonly #boxes: SpeakerBox[] = [];
  readonly #waiting: WaitingFrame[] = [];
  #missing = 0;

  /** Adds the next frame; `box` is undefined in a frame without the face. */
  add(picture: Picture, color: ColorTags, box: SpeakerBox | undefined): void {
    if (!box) this.#missing += 1;
    const used = box ?? this.#boxes.at(-1);
    if (!used) return;
    const patch = new LumaPatch(picture, used, color);
    // Frames before the first one with the face show that one, so that crops and sound keep their places.
    while (box && this.#boxes.length < this.#missing) this.#push(used, patch);
    this.#push(used, patch);
    while ((this.#waiting[0]?.frame ?? Infinity) + (smoothedBoxes >> 1) < this.#boxes.length) this.#cut();
  }

  /** The crops; undefined when the face was missing in too many frames. */
  finish(): Uint8Array | undefined {
    while (this.#waiting.length > 0) this.#cut();
    return this.#boxes.length === windowFrames && this.#missing <= maxMissingFrames ? this.crops : undefined;
  }

  #push(box: SpeakerBox, patch: LumaPatch): void {
    this.#waiting.push({ frame: this.#boxes.length, patch });
    this.#boxes.push(box);
  }

  #cut(): void {
    const waiting = this.#waiting.shift();
    if (!waiting) return;
    const { frame, patch } = waiting;
    const half = smoothedBoxes >> 1;
    const box = smoothBox(this.#boxes.slice(Math.max(0, frame - half), frame + half + 1));
    const size = speakerCropPx ** 2;
    patch.crop(box, this.crops.subarray(frame * size, (frame + 1) * size));
  }
}
