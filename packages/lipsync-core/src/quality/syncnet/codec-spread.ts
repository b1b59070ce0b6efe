import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { probeClip, reencode, reencodeRecipes, type MediaLimits, type ReencodeRecipe } from '../../media/index.ts';
import { droppedWindows, syncFramesPerSecond, type Stretch } from './choose-stretches.ts';
import { measureSync, type MeasureOptions, type SyncDistances, type SyncVideo } from './measure-sync.ts';
import { maxShiftFrames, meanCurve, scoreCurve } from './sync-distances.ts';
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
  readonly limits: MediaLimits;
}

/**
 * Scores the middle two seconds of a stretch as they are and after each way of encoding them again, and returns the spread
 * of the scores. Throws the errors of the media functions.
 */
export async function measureCodecSpread(
  video: SyncVideo,
  { stretch, measured }: { readonly stretch: Stretch; readonly measured: SyncDistances },
  options: CodecSpreadOptions,
): Promise<CodecSpread> {
  const middle = middleOf(stretch);
  const rows = [...measured.frames.keys()].filter((row) => {
    const frame = measured.frames[row] ?? -1;
    return frame >= middle.start && frame < middle.end;
  });
  const scores = [scoreCurve(meanCurve(measured.distances, rows))];
  const folder = await mkdtemp(join(options.workFolder, 'codec-spread-'));
  try {
    for (const recipe of reencodeRecipes) {
      const { distances } = await measureAgain(video, middle, { ...options, folder, recipe });
      scores.push(scoreCurve(meanCurve(distances)));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const spreadOf = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);
  return { lseC: spreadOf(scores.map(({ lseC }) => lseC)), lseD: spreadOf(scores.map(({ lseD }) => lseD)) };
}

function middleOf({ track, start, end }: Stretch): Stretch {
  const length = Math.min(spreadWindows, end - start);
  const first = start + Math.floor((end - start - length) / 2);
  return { track, start: first, end: first + length };
}

/** Encodes the windows with the sounds around them, and measures the result. */
async function measureAgain(
  { path }: SyncVideo,
  { track, start, end }: Stretch,
  options: CodecSpreadOptions & { readonly folder: string; readonly recipe: ReencodeRecipe },
): Promise<SyncDistances> {
  const { folder, recipe, limits, signal } = options;
  const first = Math.max(track.start, start - maxShiftFrames);
  const last = Math.min(track.start + track.boxes.length, end + maxShiftFrames + droppedWindows);
  const frameMs = 1000 / syncFramesPerSecond;
  const targetPath = join(folder, `${recipe}.mkv`);
  await reencode({
    path,
    startMs: first * frameMs,
    durationMs: (last - first) * frameMs,
    recipe,
    targetPath,
    signal,
  });
  const facts = await probeClip(targetPath, { limits, signal });
  const sound = await VideoSound.read(targetPath, signal);
  const boxes = track.boxes.slice(first - track.start, last - track.start);
  const again = { track: { start: 0, boxes }, start: start - first, end: end - first };
  return measureSync({ path: targetPath, facts, sound }, [again], options);
}
