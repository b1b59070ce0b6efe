import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { abortError, LipsyncError } from '../errors/index.ts';
import { framesPerSecond, openFramesAhead, type ClipFacts } from '../media/index.ts';
import { chooseAnalysisSize, type AnalysisSize } from './analysis-size.ts';
import { createFaceFollower, type FaceFollower, type NumberedPicture } from './face-follower.ts';
import type { FaceDetector, FaceTrack } from './face-types.ts';
import { createCutDetector } from './shot-cuts.ts';
import { openSightingStore, type SightingStore } from './sighting-store.ts';
import { trackShot } from './shot-track.ts';
import { createTrackCache, type TrackKey } from './track-cache.ts';
import { createTrackFile, type TrackDescription, type TrackWriter } from './track-file.ts';

/** Raised whenever the same clip would give another track. */
const trackerVersion = 3;

const longestGapSeconds = 0.4;
const memorySeconds = 1.2;
const detectEverySeconds = 1;
/** Frames looked for in the same region; a head does not leave it from one frame to the next. */
const framesSideBySide = 2;
const defaultCacheBytes = 2 * 1024 ** 3;

export interface TrackFacesOptions {
  readonly clipPath: string;
  /** Content hash of the clip. */
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  /** Clip frames to track, end exclusive. */
  readonly range: { readonly start: number; readonly end: number };
  readonly detector: FaceDetector;
  /** Folder of finished tracks, shared and kept. */
  readonly cacheDir: string;
  /** Folder for temporary files, private to this call's owner, on the same file system as the cache. */
  readonly workDir: string;
  readonly cacheBytes?: number;
  readonly signal: AbortSignal;
  /** Share of the range that was looked at, 0–1. */
  onProgress?(fraction: number): void;
}

/**
 * Follows one stable face through a range of a clip, out of the cache where it can. Reads the range once, and holds a
 * few frames whatever its length; temporary files are gone when it returns or throws. The caller closes the track.
 * Throws `clip_unusable` when no frame shows a face, what decoding throws, or the abort's error.
 */
export async function trackFaces(options: TrackFacesOptions): Promise<FaceTrack> {
  if (options.signal.aborted) throw abortError(options.signal);
  const cache = createTrackCache(options.cacheDir, options.cacheBytes ?? defaultCacheBytes);
  const key = keyOf(options);
  const known = await cache.find(key);
  if (known) return known;

  // In the caller's own folder, which is cleared even when this process is killed.
  const partialPath = join(options.workDir, `track-${randomUUID()}`);
  const storePath = join(options.workDir, `sightings-${randomUUID()}`);
  const writer = createTrackFile(partialPath);
  const store = openSightingStore(storePath);
  try {
    const description = await writeTrack(options, writer, store);
    requireFace(description);
    writer.finish(description);
    const track = await cache.publish(partialPath, key);
    if (!track)
      throw new LipsyncError(
        'internal',
        'A face track was damaged while it was being written. Check the disk of the data folder.',
      );
    return track;
  } finally {
    store.dispose();
    writer.abandon();
    await rm(partialPath, { force: true });
  }
}

function keyOf({ clipDigest, clip, range, detector }: TrackFacesOptions): TrackKey {
  const { numerator, denominator } = clip.frameRate;
  return {
    clipDigest,
    start: range.start,
    end: range.end,
    frameRate: `${numerator}/${denominator}`,
    size: `${clip.width}x${clip.height}`,
    detector: detector.id,
    trackerVersion,
  };
}

function requireFace({ frameCount, absentRanges }: TrackDescription): void {
  const absentFrames = absentRanges.reduce((sum, { start, end }) => sum + end - start, 0);
  if (absentFrames < frameCount) return;
  throw new LipsyncError(
    'clip_unusable',
    'No face was found in the clip. Use a clip in which one face is well lit, looks roughly at the camera, and is at least a tenth of the picture high.',
    { details: { frameCount } },
  );
}

async function writeTrack(
  options: TrackFacesOptions,
  writer: TrackWriter,
  store: SightingStore,
): Promise<TrackDescription> {
  const size = await chooseAnalysisSize(options);
  const scribe = createScribe(options, size, writer, store);
  const group: NumberedPicture[] = [];
  const { clipPath: path, clip: facts, range, signal } = options;
  const frames = openFramesAhead({
    path,
    facts,
    range,
    ...size,
    pixelFormat: 'rgb24',
    keepFrames: framesSideBySide + 1,
    signal,
  });
  const cuts = createCutDetector();
  for await (const { index, data } of frames) {
    if (signal.aborted) throw abortError(signal);
    const picture = { ...size, rgb: data, frame: index };
    if (cuts.isCut(picture)) {
      await scribe.look(group.splice(0));
      scribe.endShot(index);
    }
    group.push(picture);
    if (group.length === framesSideBySide) await scribe.look(group.splice(0));
    options.onProgress?.((index + 1) / (range.end - range.start));
  }
  await scribe.look(group);
  return scribe.endShot(range.end - range.start);
}

/** Gathers what is seen in a shot and writes the shot's part of the track once the shot is over. */
interface Scribe {
  look(pictures: readonly NumberedPicture[]): Promise<void>;
  /** Ends the current shot before `frame` and returns what is known of the track up to there. */
  endShot(frame: number): TrackDescription;
}

function createScribe(
  options: TrackFacesOptions,
  size: AnalysisSize,
  writer: TrackWriter,
  store: SightingStore,
): Scribe {
  const { clip, range } = options;
  const rate = framesPerSecond(clip.frameRate);
  const scale = { x: clip.width / size.width, y: clip.height / size.height };
  const frameCount = range.end - range.start;
  const shotStarts = [0];
  const absentRanges: { start: number; end: number }[] = [];
  let people = 0;
  const newFollower = (): FaceFollower =>
    createFaceFollower({
      detector: options.detector,
      memoryFrames: Math.ceil(memorySeconds * rate),
      detectEveryFrames: Math.max(1, Math.round(detectEverySeconds * rate)),
      nextPersonId: () => people++,
    });
  let follower = newFollower();

  const writeShot = (start: number, end: number): void => {
    const longestGapFrames = Math.round(longestGapSeconds * rate);
    const sightings = store.chosen(end - start);
    let frame = start;
    for (const { presence, points } of trackShot({
      start,
      end,
      framesPerSecond: rate,
      longestGapFrames,
      sightings,
      read: store.read,
    })) {
      writer.add(presence, points);
      if (presence === 'absent') noteAbsent(absentRanges, frame);
      frame += 1;
    }
  };

  return {
    look: async (pictures) => {
      for (const sighting of await follower.follow(pictures)) {
        store.add({ ...sighting, points: scaled(sighting.points, scale.x, scale.y) });
      }
    },
    endShot: (frame) => {
      writeShot(shotStarts.at(-1) ?? 0, frame);
      store.clear();
      follower = newFollower();
      if (frame < frameCount) shotStarts.push(frame);
      return { frameCount, shotStarts, absentRanges };
    },
  };
}

function noteAbsent(ranges: { start: number; end: number }[], frame: number): void {
  const last = ranges.at(-1);
  if (last?.end === frame) last.end = frame + 1;
  else ranges.push({ start: frame, end: frame + 1 });
}

/** Depth has the scale of the width. */
function scaled(points: Float32Array, x: number, y: number): Float32Array {
  const factors = [x, y, x];
  return points.map((value, index) => value * (factors[index % 3] ?? 1));
}
