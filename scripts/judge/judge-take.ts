import {
  createFaceDetector,
  measureLips,
  outerLips,
  trackFaces,
  type FaceFrame,
  type FaceTrack,
} from '../../packages/lipsync-core/src/face/index.ts';
import {
  openFrames,
  planTimeline,
  seamFrameAt,
  probeClip,
  probeSpeech,
  probeTake,
  readSpeech,
  type SoundSource,
  framesPerSecond,
  type ClipFacts,
  type Timeline,
} from '../../packages/lipsync-core/src/media/index.ts';
import { bestLag, energyPerFrame } from '../../packages/lipsync-core/src/testing/sync-metrics.ts';
import type { PixelArea } from '../../packages/lipsync-core/src/image/planes.ts';
import { ssimOutside } from '../../packages/lipsync-core/src/image/ssim.ts';
import { openingInPicture } from './opening-in-picture.ts';
import { pauseFrames } from './pauses.ts';

export interface Judgement {
  readonly frames: number;
  readonly expectedFrames: number;
  readonly soundMinusPictureMs: number;
  /** Mean over the sampled frames. */
  readonly ssim: number;
  /** Delay of the lips after the sound, in frames. */
  readonly lag: number;
  /** Correlation of mouth opening and sound energy at that delay. */
  readonly r: number;
  /** Mean opening in the middle of pauses, relative to its 95th percentile; null without pauses. */
  readonly openInPauses: number | null;
  /** The same for the opening in the image plane, without the depth of the landmarks. */
  readonly openInPausesInPicture: number | null;
}

export interface JudgeOptions {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  readonly work: string;
  readonly signal: AbortSignal;
}

const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 8192 };
const ssimEveryFrames = 10;
const maxLagFrames = 5;
const sampleRateHz = 16_000;

/** Measures an output of `sync_mode` loop from its file alone. */
export async function judgeTake(options: JudgeOptions): Promise<Judgement> {
  const { signal } = options;
  const clip = await probeClip(options.videoPath, { limits, signal });
  const speech = await probeSpeech(options.audioPath, { limits, signal });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
  const take = await probeTake(options.outputPath, { signal });
  const track = await trackOutput(options);
  try {
    const opening = measureFrames(track, (points) => measureLips(points).opening);
    const samples = await readAll(options.audioPath, speech, signal);
    const energy = energyPerFrame(samples, sampleRateHz, framesPerSecond(timeline.frameRate), track.frameCount);
    return {
      frames: take.frameCount,
      expectedFrames: Math.round((speech.durationMs / 1000) * framesPerSecond(timeline.frameRate)),
      soundMinusPictureMs: (take.audioDurationMs ?? NaN) - take.videoDurationMs,
      ssim: await ssimOfTake(options, clip, timeline, track),
      ...bestLag(energy, opening, maxLagFrames),
      openInPauses: openingInPauses(opening, energy, framesPerSecond(timeline.frameRate)),
      openInPausesInPicture: openingInPauses(
        measureFrames(track, openingInPicture),
        energy,
        framesPerSecond(timeline.frameRate),
      ),
    };
  } finally {
    track.close();
  }
}

async function trackOutput({ outputPath, work, signal }: JudgeOptions): Promise<FaceTrack> {
  const facts = await probeClip(outputPath, { limits, signal });
  const detector = await createFaceDetector();
  try {
    return await trackFaces({
      clipPath: outputPath,
      clipDigest: `judged-${outputPath}`,
      clip: facts,
      range: { start: 0, end: facts.frameCount },
      detector,
      cacheDir: `${work}/judge-tracks`,
      workDir: work,
      signal,
    });
  } finally {
    await detector.close();
  }
}

/** Applies `measure` to the landmarks of each frame; 0 for a frame without a face. */
function measureFrames(track: FaceTrack, measure: (points: Float32Array) => number): Float32Array {
  return Float32Array.from({ length: track.frameCount }, (_, index) => {
    const { points } = track.frame(index);
    return points.length === 0 ? 0 : measure(points);
  });
}

async function readAll(path: string, sound: SoundSource, signal: AbortSignal): Promise<Float32Array> {
  const chunks: Float32Array[] = [];
  for await (const chunk of readSpeech(path, { ...sound, signal })) chunks.push(chunk);
  const samples = new Float32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    samples.set(chunk, offset);
    offset += chunk.length;
  }
  return samples;
}

function openingInPauses(opening: Float32Array, energy: Float32Array, frameRate: number): number | null {
  const pauses = pauseFrames(energy, frameRate);
  if (pauses.length === 0) return null;
  const wide = opening.toSorted()[Math.floor(opening.length * 0.95)] ?? 0;
  return pauses.reduce((sum, index) => sum + (opening[index] ?? 0), 0) / pauses.length / wide;
}

async function ssimOfTake(
  { videoPath, outputPath, work, signal }: JudgeOptions,
  clip: ClipFacts,
  timeline: Timeline,
  track: FaceTrack,
): Promise<number> {
  const outputFacts = await probeClip(outputPath, { limits, signal });
  const source = openFrames({ path: videoPath, facts: clip, timeline, workFolder: work, signal })[
    Symbol.asyncIterator
  ]();
  let sum = 0;
  let count = 0;
  for await (const made of openFrames({
    path: outputPath,
    facts: outputFacts,
    range: { start: 0, end: timeline.frameCount },
    signal,
  })) {
    const original = await source.next();
    // At the seam of a loop the take shows two frames of the clip.
    if (original.done || made.index % ssimEveryFrames !== 0 || seamFrameAt(timeline, made.index)) continue;
    sum += ssimOutside(
      { a: original.value.data, b: made.data, width: clip.width, height: clip.height },
      lowerFace(track.frame(made.index)),
    );
    count += 1;
  }
  await source.return?.();
  return sum / count;
}

/** The area that a provider may change: about twice the width of the lips. */
function lowerFace({ points }: FaceFrame): PixelArea | undefined {
  if (points.length === 0) return undefined;
  const xs = outerLips.map((index) => points[index * 3] ?? 0);
  const ys = outerLips.map((index) => points[index * 3 + 1] ?? 0);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const width = right - left;
  return { left: left - width * 0.6, right: right + width * 0.6, top: top - width * 0.5, bottom: bottom + width * 0.9 };
}
