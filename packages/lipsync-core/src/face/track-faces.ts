import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { abortError, LipsyncError } from '../errors/index.ts';
import { openFrames, openFramesAhead, type ClipFacts } from '../media/index.ts';
import { annotateSpan, traced } from '../tracing/spans.ts';
import type { FaceDetector, FaceTrack } from './face-types.ts';
import { GrowingTrack, type TrackClip, type TrackListener } from './growing-track.ts';
import type { NumberedPicture } from './multi-face-tracker.ts';
import { ObservationStore } from './observation-store.ts';
import { mostUndecidedFrames, ShotBoundaryDetector } from './shot-boundaries.ts';
import { TrackBuilder, type TrackBuilderOptions } from './track-builder.ts';
import { TrackCache, type TrackKey } from './track-cache.ts';
import { TrackWriter, type TrackDescription } from './track-file.ts';

/** Part of the cache key. Increase it whenever the same clip would give another track. */
const trackerVersion = 10;

/** Frames whose landmarks are detected in parallel from the same region. A head does not leave it within two frames. */
const parallelFrames = 2;
const defaultCacheBytes = 2 * 1024 ** 3;

export interface TrackFacesOptions {
  readonly clipPath: string;
  /** Content hash of the clip. */
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  /** Clip frames to track, end exclusive. */
  readonly range: { readonly start: number; readonly end: number };
  readonly detector: FaceDetector;
  /** Folder of the track cache, shared between processes. */
  readonly cacheDir: string;
  /** Folder for temporary files of this job, on the same file system as the cache. */
  readonly workDir: string;
  readonly cacheBytes?: number;
  readonly signal: AbortSignal;
  /** Called after each frame with the processed fraction of the range, 0–1. */
  onProgress?(fraction: number): void;
}

/**
 * Tracks one stable face through a range of a clip, or reads the track from the cache. Decodes the range once and holds
 * a few frames. Temporary files are deleted when the promise settles. The caller closes the track. Throws
 * `clip_unusable` when no frame shows a face, the errors of decoding, and the signal's error when it is aborted.
 */
export function trackFaces(options: TrackFacesOptions): Promise<FaceTrack> {
  return trackOrFind(options, { onDecided: () => undefined, onFailed: () => undefined }, options.signal);
}

/**
 * Like `trackFaces`, but the frames can be read while later ones are tracked. The caller closes the track in any case;
 * temporary files are deleted then. With a `copyPath`, a copy of the track is left there, and no frame can be read before
 * that.
 */
export function followFaces(options: TrackFacesOptions & { readonly copyPath?: string | undefined }): GrowingTrack {
  const { range, signal, copyPath } = options;
  const trackClip: TrackClip = (listener, stop) =>
    traced('track face', {}, async () => {
      const track = await (copyPath === undefined
        ? trackOrFind(options, listener, stop)
        : trackFacesTo(copyPath, { ...options, signal: stop }));
      annotateSpan({ 'lipsync.frames': track.frameCount, 'lipsync.cached': track.cached });
      return track;
    });
  return new GrowingTrack(range.end - range.start, trackClip, signal);
}

async function trackOrFind(
  options: TrackFacesOptions,
  { onDecided, onFailed }: TrackListener,
  signal: AbortSignal,
): Promise<FaceTrack> {
  if (signal.aborted) throw abortError(signal);
  const cache = new TrackCache(options.cacheDir, options.cacheBytes ?? defaultCacheBytes);
  const key = keyOf(options);
  const cached = await cache.find(key);
  if (cached) return cached;

  // The work folder is deleted even when this process is killed.
  const partialPath = join(options.workDir, `track-${randomUUID()}`);
  const writer = new TrackWriter(partialPath);
  let store: ObservationStore | undefined;
  try {
    store = new ObservationStore(join(options.workDir, `observations-${randomUUID()}`));
    const description = await writeTrack({ ...options, signal }, { writer, store, onDecided });
    requireFace(description);
    await writer.finish(description);
    const track = await cache.publish(partialPath, key);
    if (!track)
      throw new LipsyncError(
        'internal',
        'A face track was damaged while it was written. Check the disk of the data folder.',
      );
    onDecided({ readyFrames: track.frameCount, description, read: (index) => track.frame(index) });
    return track;
  } catch (error) {
    onFailed(error);
    throw error;
  } finally {
    store?.dispose();
    writer.close();
    await rm(partialPath, { force: true });
  }
}

/** As `trackFaces`, and leaves a copy of the track at `targetPath`, which `openTrackFile` reads. */
async function trackFacesTo(targetPath: string, options: TrackFacesOptions): Promise<FaceTrack> {
  const track = await trackFaces(options);
  try {
    await new TrackCache(options.cacheDir, options.cacheBytes ?? defaultCacheBytes).copyTo(keyOf(options), targetPath);
    return track;
  } catch (error) {
    track.close();
    throw error;
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
    'No face was found in the clip. Use a clip with a well-lit face that looks roughly at the camera and is at least a tenth of the picture high.',
    { details: { frameCount } },
  );
}

async function writeTrack(
  options: TrackFacesOptions,
  parts: Pick<TrackBuilderOptions, 'writer' | 'store' | 'onDecided'>,
): Promise<TrackDescription> {
  const { clipPath: path, clip: facts, range, signal, detector } = options;
  const size = await chooseAnalysisSize(options);
  const scaleX = facts.width / size.width;
  const builder = new TrackBuilder({
    ...parts,
    frameCount: range.end - range.start,
    frameRate: facts.frameRate,
    detector,
    // Depth uses the horizontal scale.
    scale: [scaleX, facts.height / size.height, scaleX],
  });
  const batch: NumberedPicture[] = [];
  const frames = openFramesAhead({
    path,
    facts,
    range,
    ...size,
    pixelFormat: 'rgb24',
    keepFrames: parallelFrames + mostUndecidedFrames + 1,
    signal,
  });
  const boundaries = new ShotBoundaryDetector();
  const undecided: NumberedPicture[] = [];
  for await (const { index, data } of frames) {
    if (signal.aborted) throw abortError(signal);
    const picture = { ...size, rgb: data, frame: index };
    undecided.push(picture);
    options.onProgress?.((index + 1) / (range.end - range.start));
    const change = boundaries.classify(picture);
    if (change === 'flash') continue;
    if (change === 'cut') {
      await builder.addFrames(batch.splice(0));
      builder.endShot(undecided[0]?.frame ?? index);
    }
    for (const decided of undecided.splice(0)) {
      batch.push(decided);
      if (batch.length === parallelFrames) await builder.addFrames(batch.splice(0));
    }
  }
  for (const pictures of [batch, undecided]) await builder.addFrames(pictures);
  return builder.endShot(range.end - range.start);
}

/** Size in pixels at which frames are decoded for tracking. */
interface AnalysisSize {
  readonly width: number;
  readonly height: number;
}

const usualLongSidePx = 640;
const largestLongSidePx = 1600;
/** The face mesh has an input of 192 pixels, so a face with margin should have about that size. */
const targetFaceHeightPx = 128;
const framesToProbe = 12;

/** Chooses a long side of 640 pixels, or more when the first face of the clip is small, up to the size of the clip. */
async function chooseAnalysisSize(options: TrackFacesOptions): Promise<AnalysisSize> {
  const { clipPath: path, clip: facts, detector, signal } = options;
  const small = fitLongSide(facts, usualLongSidePx);
  if (small.width >= facts.width) return small;
  const range = { start: options.range.start, end: Math.min(options.range.end, options.range.start + framesToProbe) };
  for await (const { data } of openFrames({ path, facts, range, ...small, pixelFormat: 'rgb24', signal })) {
    const [face] = await detector.detect(data, small.width, small.height);
    if (face) return fitLongSide(facts, usualLongSidePx * Math.max(1, targetFaceHeightPx / face.height));
  }
  return small;
}

/** Scales the clip down to a long side, with even width and height. Never scales up. */
function fitLongSide({ width, height }: ClipFacts, longSidePx: number): AnalysisSize {
  const scale = Math.min(1, Math.min(largestLongSidePx, longSidePx) / Math.max(width, height));
  const even = (side: number): number => Math.max(2, Math.round((side * scale) / 2) * 2);
  return { width: even(width), height: even(height) };
}
