import type { QualityRange } from '../../contract/quality.ts';
import { readMouthCurve } from '../../audio/index.ts';
import { createFaceDetector, type FaceDetector } from '../../face/index.ts';
import { regionOfBox } from '../../face/face-regions.ts';
import {
  clipFrameAt,
  framesPerSecond,
  openFrames,
  probeSound,
  type ClipFacts,
  type Timeline,
} from '../../media/index.ts';
import type { AssessmentSpeech } from '../analyzer.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { findRuns, toTimes, type IndexRange } from '../labels.ts';
import { findFaceAreas, samplePatch } from './face-patches.ts';
import { areLipsUnchanged, judgeSample, type ClipFace, type SampleVerdict } from './lip-verdict.ts';
import { isOwnSound, readSoundLevels } from './own-sound.ts';
import {
  identity,
  registerPictures,
  shrink,
  type LumaPicture,
  type Registration,
  type RgbFrame,
} from './picture-registration.ts';
import { planSpeechWindows, type SpeechWindow } from './speech-windows.ts';

/** A take and what it was made from. */
export interface CompareLipsInput {
  readonly takePath: string;
  readonly takeFacts: ClipFacts;
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly speech: AssessmentSpeech;
  readonly timeline: Timeline;
  /** Whether the mouth is visible in an output frame; the picture of the clip is right where it is hidden. */
  isMouthVisible?(frame: number): boolean;
}

/** Speech under which the lips of a take are those of its clip, or do not move. */
export interface UnchangedLips {
  /** Ranges of the take. */
  readonly ranges: readonly QualityRange[];
  /** Their share of the speech with a visible mouth. */
  readonly share: number;
}

const none: UnchangedLips = { ranges: [], share: 0 };

const longSidePx = 640;
const thumbnailPx = 320;
const largestFaceCount = 3;

/**
 * Finds the speech of a take under which the lips are still those of the clip, or do not move. Decodes clip and take
 * once, holds a few frames, and samples at most fifty of them. Speech that is the clip's own sound, and windows in
 * which the mouth is hidden for half of the time or more, are left out.
 */
export async function compareLips(
  input: CompareLipsInput,
  { signal, resources }: Pick<RenderTaskContext, 'signal' | 'resources'>,
): Promise<UnchangedLips> {
  const { timeline, clip, clipPath, speech } = input;
  const curve = await readMouthCurve(speech.mouthCurvePath, timeline.frameCount);
  const isSeen = (window: SpeechWindow): boolean => isMouthSeen(window, input);
  const windows = planSpeechWindows(curve.voiced, timeline).filter(isSeen);
  if (windows.length === 0) return none;
  const clipSamples = await readClip(input, windows, await resources.get(createFaceDetector), signal);
  const verdicts = await judgeTake(input, windows, clipSamples, signal);
  const suspects = windows.map((_, index) => areLipsUnchanged(verdicts[index] ?? []));
  if (clip.hasSound && suspects.includes(true)) {
    const levels = {
      clip: await readSoundLevels(clipPath, await probeSound(clipPath, signal), signal),
      speech: await readSoundLevels(speech.path, speech.sound, signal),
    };
    windows.forEach((window, index) => {
      if (suspects[index] && isOwnSound(window, timeline, levels)) suspects[index] = false;
    });
  }
  return joinWindows(windows, suspects, timeline);
}

function isMouthSeen({ startFrame, endFrame }: SpeechWindow, { isMouthVisible }: CompareLipsInput): boolean {
  if (!isMouthVisible) return true;
  let visible = 0;
  for (let frame = startFrame; frame < endFrame; frame += 1) if (isMouthVisible(frame)) visible += 1;
  return 2 * visible > endFrame - startFrame;
}

/** What is compared with the take: the faces of a clip frame, and the whole picture at the start of a window. */
interface ClipSample {
  readonly faces: readonly ClipFace[];
  readonly picture: LumaPicture | undefined;
}

/** Decodes the clip once. Returns the samples by clip frame. */
async function readClip(
  { clipPath: path, clip: facts, timeline }: CompareLipsInput,
  windows: readonly SpeechWindow[],
  detector: FaceDetector,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, ClipSample>> {
  const wanted = new Set(windows.flatMap(({ samples }) => samples.map((frame) => clipFrameAt(timeline, frame))));
  const starts = new Set(windows.map(({ samples }) => clipFrameAt(timeline, samples[0] ?? 0)));
  const parts = listNeighborhoods(wanted, facts.frameCount);
  const range = { start: parts[0]?.start ?? 0, end: parts.at(-1)?.end ?? 0 };
  const samples = new Map<number, ClipSample>();
  const add = async (clipFrame: number, center: RgbFrame, neighbors: readonly RgbFrame[]): Promise<void> => {
    const faces = await findFaces(detector, center, neighbors);
    samples.set(clipFrame, { faces, picture: starts.has(clipFrame) ? shrink(center, thumbnailPx) : undefined });
  };
  let recent: RgbFrame[] = [];
  let last = -1;
  for await (const frame of openFrames({
    path,
    facts,
    range,
    parts,
    ...analysisSize(facts),
    pixelFormat: 'rgb24',
    keepFrames: 3,
    signal,
  })) {
    recent = [...recent.slice(-2), frame];
    last = frame.clipFrame;
    const center = recent.at(-2);
    if (center && wanted.has(last - 1)) await add(last - 1, center, recent);
  }
  const center = recent.at(-1);
  if (center && wanted.has(last)) await add(last, center, recent.slice(-2));
  return samples;
}

/** The wanted frames with the frames beside them, as parts of the clip; only these are scaled and converted. */
function listNeighborhoods(wanted: ReadonlySet<number>, frameCount: number): readonly IndexRange[] {
  const isNear = (frame: number): boolean => [frame - 1, frame, frame + 1].some((near) => wanted.has(near));
  return findRuns(frameCount, isNear);
}

async function findFaces(
  detector: FaceDetector,
  { data, width, height }: RgbFrame,
  neighbors: readonly RgbFrame[],
): Promise<ClipFace[]> {
  const boxes = await detector.detect(data, width, height);
  const faces: ClipFace[] = [];
  for (const box of boxes.slice(0, largestFaceCount)) {
    const mesh = await detector.mesh(data, width, height, regionOfBox(box));
    const areas = mesh && findFaceAreas(mesh.points);
    if (!areas) continue;
    const looks = neighbors.map((frame) => ({
      mouth: samplePatch(frame, areas.mouth),
      eyes: samplePatch(frame, areas.eyes),
    }));
    faces.push({ areas, looks });
  }
  return faces;
}

/** Decodes the take once. Returns the verdicts of each window. */
async function judgeTake(
  { takePath: path, takeFacts: facts, clip, timeline }: CompareLipsInput,
  windows: readonly SpeechWindow[],
  clipSamples: ReadonlyMap<number, ClipSample>,
  signal: AbortSignal,
): Promise<readonly (readonly SampleVerdict[])[]> {
  const speed = framesPerSecond(facts.frameRate) / framesPerSecond(timeline.frameRate);
  const takeFrameOf = (frame: number): number => Math.min(facts.frameCount - 1, Math.round(frame * speed));
  const plan = windows.flatMap(({ samples }, window) =>
    samples.map((frame) => ({
      window,
      takeFrame: takeFrameOf(frame),
      sample: clipSamples.get(clipFrameAt(timeline, frame)),
    })),
  );
  const verdicts: SampleVerdict[][] = windows.map(() => []);
  const { width, height } = analysisSize(clip);
  let next = 0;
  let registration: Registration = identity;
  let previous: { readonly frame: RgbFrame; readonly window: number } | undefined;
  const sampled = new Set(plan.map(({ takeFrame }) => takeFrame));
  const parts = findRuns(facts.frameCount, (frame) => sampled.has(frame));
  const options = { path, facts, parts, ...analysisSize(facts), pixelFormat: 'rgb24', signal } as const;
  const range = { start: 0, end: (plan.at(-1)?.takeFrame ?? 0) + 1 };
  for await (const frame of openFrames({ ...options, range })) {
    for (; plan[next]?.takeFrame === frame.clipFrame; next += 1) {
      const { window = 0, sample } = plan[next] ?? {};
      if (!sample) continue;
      if (sample.picture) registration = registerPictures(sample.picture, shrink(frame, thumbnailPx), registration);
      const earlier = previous?.window === window ? previous.frame : undefined;
      const placement = { registration, width, height, across: 0, down: 0 };
      verdicts[window]?.push(judgeSample(sample.faces, { frame, previous: earlier }, placement));
      previous = { frame: { data: frame.data.slice(), width: frame.width, height: frame.height }, window };
    }
  }
  return verdicts;
}

/** Scales a picture down to a long side of 640 pixels, with even sides. */
function analysisSize({ width, height }: ClipFacts): { readonly width: number; readonly height: number } {
  const scale = Math.min(1, longSidePx / Math.max(width, height));
  const even = (side: number): number => Math.max(2, Math.round((side * scale) / 2) * 2);
  return { width: even(width), height: even(height) };
}

/** A single window may show lips that are alike by chance, unless the take has no other. */
const fewestWindows = 2;

/** Joins neighboring windows that show unchanged lips, and drops those that stand alone. */
function joinWindows(
  windows: readonly SpeechWindow[],
  areUnchanged: readonly boolean[],
  { frameRate }: Timeline,
): UnchangedLips {
  const runs = findRuns(windows.length, (index) => areUnchanged[index] === true)
    .filter(({ start, end }) => end - start >= Math.min(fewestWindows, windows.length))
    .map(({ start, end }) => windows.slice(start, end));
  const lengthOf = (some: readonly SpeechWindow[]): number =>
    some.reduce((sum, { startFrame, endFrame }) => sum + endFrame - startFrame, 0);
  const ranges = runs.map((run) => ({ start: run[0]?.startFrame ?? 0, end: run.at(-1)?.endFrame ?? 0 }));
  return { ranges: toTimes(ranges, framesPerSecond(frameRate)), share: lengthOf(runs.flat()) / lengthOf(windows) };
}
