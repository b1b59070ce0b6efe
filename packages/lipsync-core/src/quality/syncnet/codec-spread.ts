import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { colorSpaceOf } from '../../image/color-matrix.ts';
import { reencode, reencodeRecipes, withoutSeeking, type ClipFacts, type PictureArea } from '../../media/index.ts';
import { droppedWindows, syncFramesPerSecond, type Stretch } from './choose-stretches.ts';
import { seeksFor } from './crop-reader.ts';
import { measureSync, type MeasureOptions, type SyncDistances, type SyncVideo } from './measure-sync.ts';
import { maxShiftFrames, meanCurve, scoreCurve } from './sync-distances.ts';
import { areaOfBoxes } from './syncnet-crop.ts';
import { VideoSound } from './video-sound.ts';

/** Windows whose pictures and sounds are encoded again. */
const spreadWindows = 2 * syncFramesPerSecond;

/** How far the scores move when picture and sound are encoded again without a change of sync. */
export interface CodecSpread {
  readonly lseC: number;
  readonly lseD: number;
}

export interface CodecSpreadOptions extends MeasureOptions {
  readonly workFolder: string;
}

/**
 * Scores the middle two seconds of the first stretch as they are and after each way of encoding the face and the sound
 * again. Encoding starts with the construction, so that it runs beside the networks. The caller calls `close`.
 */
export class CodecSpreadMeter {
  readonly #video: SyncVideo;
  readonly #middle: Stretch;
  readonly #options: CodecSpreadOptions;
  readonly #stopped = new AbortController();
  readonly #folders: string[] = [];
  readonly #seeks: boolean;
  #encoding: Promise<readonly EncodedAgain[]>;

  /** `stretches` are those of the video that are measured, at least one. */
  constructor(video: SyncVideo, stretches: readonly [Stretch, ...Stretch[]], options: CodecSpreadOptions) {
    this.#video = video;
    this.#middle = middleOf(stretches[0]);
    this.#options = options;
    this.#seeks = seeksFor(video.facts, stretches);
    this.#encoding = this.#encode(this.#seeks ? video : readFromStart(video));
    // Awaited by `measure`; a failure before must not count as unhandled.
    this.#encoding.catch(() => undefined);
  }

  /** The spread of the scores. `measured` are the distances of the stretches. Throws the errors of the media functions. */
  async measure(measured: SyncDistances): Promise<CodecSpread> {
    const { start, end } = this.#middle;
    const rows = [...measured.frames.keys()].filter((row) => {
      const frame = measured.frames[row] ?? -1;
      return frame >= start && frame < end;
    });
    const scores = [scoreCurve(meanCurve(measured.distances, rows))];
    if (this.#seeks && !measured.didSeek) {
      // Seeking finds other frames in this file.
      await Promise.allSettled([this.#encoding]);
      this.#encoding = this.#encode(readFromStart(this.#video));
    }
    for (const again of await this.#encoding) {
      const { distances } = await measureSync(again.video, [again.stretch], this.#options);
      scores.push(scoreCurve(meanCurve(distances)));
    }
    const spreadOf = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);
    return { lseC: spreadOf(scores.map(({ lseC }) => lseC)), lseD: spreadOf(scores.map(({ lseD }) => lseD)) };
  }

  /** Stops encoding and deletes its files. */
  async close(): Promise<void> {
    this.#stopped.abort();
    await Promise.allSettled([this.#encoding]);
    for (const folder of this.#folders) await rm(folder, { recursive: true, force: true });
  }

  async #encode(video: SyncVideo): Promise<readonly EncodedAgain[]> {
    const { workFolder, signal } = this.#options;
    const folder = await mkdtemp(join(workFolder, 'codec-spread-'));
    this.#folders.push(folder);
    return encodeAgain(video, this.#middle, { folder, signal: AbortSignal.any([signal, this.#stopped.signal]) });
  }
}

function middleOf({ track, start, end }: Stretch): Stretch {
  const length = Math.min(spreadWindows, end - start);
  const first = start + Math.floor((end - start - length) / 2);
  return { track, start: first, end: first + length };
}

interface EncodedAgain {
  readonly video: SyncVideo;
  readonly stretch: Stretch;
}

/** Encodes the faces of the windows with the sounds around them, in every way. */
async function encodeAgain(
  { path, facts }: SyncVideo,
  { track, start, end }: Stretch,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<readonly EncodedAgain[]> {
  const first = Math.max(track.start, start - maxShiftFrames);
  const last = Math.min(track.start + track.boxes.length, end + maxShiftFrames + droppedWindows);
  const boxes = track.boxes.slice(first - track.start, last - track.start);
  const area = areaOfBoxes(boxes, facts);
  const targetPaths = { mpeg4: join(folder, 'mpeg4.mkv'), h264: join(folder, 'h264.mkv') };
  const constantRate = { ...facts, frameRate: { numerator: syncFramesPerSecond, denominator: 1 } };
  await reencode({ path, facts: constantRate, range: { start: first, end: last }, area, targetPaths, signal });
  const encoded = factsOf(constantRate, area, last - first);
  const within = boxes.map(({ centerX, centerY, halfSide }) => ({
    centerX: centerX - area.x,
    centerY: centerY - area.y,
    halfSide,
  }));
  const stretch = { track: { start: 0, boxes: within }, start: start - first, end: end - first };
  return Promise.all(
    reencodeRecipes.map(async (recipe) => {
      const sound = await VideoSound.read(targetPaths[recipe], signal);
      return { video: { path: targetPaths[recipe], facts: encoded, sound }, stretch };
    }),
  );
}

function readFromStart(video: SyncVideo): SyncVideo {
  return { ...video, facts: withoutSeeking(video.facts) };
}

/** Facts of the encoded area, which has the colors of the whole picture. */
function factsOf(facts: ClipFacts, { width, height }: PictureArea, frameCount: number): ClipFacts {
  const color = { ...facts.color, space: colorSpaceOf(facts.color, facts.height), range: 'tv' };
  return {
    ...facts,
    width,
    height,
    frameCount,
    durationMs: (frameCount * 1000) / syncFramesPerSecond,
    orientation: 1,
    interlacing: undefined,
    pixelFormat: 'yuv420p',
    color,
    clock: { type: 'container', originS: 0, canSeek: false, joins: [] },
  };
}
