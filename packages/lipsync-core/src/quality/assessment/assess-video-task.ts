import { abortError, toLipsyncError } from '../../errors/index.ts';
import {
  framesPerSecond,
  openFramesAhead,
  expectedPictureOf,
  probeVideo,
  type ExpectedPicture,
  type Frame,
  type MediaLimits,
} from '../../media/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import type {
  Analyzer,
  AnalyzerDefinition,
  AnalyzerSetup,
  AssessedFrame,
  AssessmentInput,
  AssessmentModels,
  Findings,
} from '../analyzer.ts';
import { FaceReader } from '../lips/face-reader.ts';
import { SoundFeed } from '../lips/sound-feed.ts';
import { measureVideoSpeech, type VideoSpeech } from '../lips/video-speech.ts';
import { analyzers } from './analyzers.ts';
import { failedFindings, mergeFindings, type MeasuredQuality } from './merge-findings.ts';
import { coverLabel } from './label-cover.ts';
import { SourcePictures } from './source-pictures.ts';

export interface AssessVideoInput extends AssessmentInput {
  readonly limits: MediaLimits;
  readonly models: AssessmentModels;
}

/** Frames whose landmarks are measured at the same time. */
const parallelFrames = 2;

/** Time limit of an assessment: a part for its start, and a multiple of the video's length. */
const timeLimit = { startMs: 120_000, perVideoMs: 30 };

/**
 * Assesses a video: decodes it once, measures the face in its frames, and runs all analyzers over the frames.
 * Throws when the video cannot be decoded; an analyzer that fails leaves null parts with the reason.
 */
export async function assessVideoTask(input: AssessVideoInput, context: RenderTaskContext): Promise<MeasuredQuality> {
  const { limits, models, videoPath } = input;
  const probeContext = { limits, signal: context.signal };
  const { picture: facts, sound: track } =
    input.video ?? (await probeVideo(videoPath, probeContext, expectedPicture(input)));
  // A timer takes whole milliseconds, and the length of a video at 30000/1001 frames per second is a fraction.
  const limitMs = Math.ceil(timeLimit.startMs + timeLimit.perVideoMs * facts.durationMs);
  // Ends what still decodes when a measurement fails.
  const ended = new AbortController();
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(limitMs), ended.signal]);
  const { resources } = context;
  const frameCount = facts.frameCount;
  const rate = framesPerSecond(facts.frameRate);
  const video = { input, models, limits, facts, framesPerSecond: rate, frameCount, resources, signal };
  const sound = new SoundFeed(videoPath, track, signal);
  const faces = await FaceReader.open(video, (fraction) => context.onProgress({ stage: 'tracking', fraction }));
  try {
    const setup: AnalyzerSetup = { ...video, faces, sound };
    const running = await Promise.all(analyzers.map((definition) => startAnalyzer(definition, setup)));
    const speechMeasured = measureVideoSpeech(sound, facts, video);
    // Awaited after the frames; a failure before must not count as unhandled.
    speechMeasured.catch(() => undefined);
    await readFrames(setup, faces, running, (fraction) => context.onProgress({ stage: 'scoring', fraction }));
    const speech = await speechMeasured;
    const outcomes = [];
    for (const analyzer of running)
      outcomes.push({ definition: analyzer.definition, findings: await finishAnalyzer(analyzer, speech, signal) });
    return mergeFindings(outcomes, input.source !== undefined);
  } finally {
    faces.close();
    ended.abort();
  }
}

/**
 * The picture that a take of this service has. Undefined for other videos, whose frames may be shown at uneven times,
 * and for interlaced sources, whose takes may be interlaced without a mark.
 */
function expectedPicture({ source, followsTimeline }: AssessVideoInput): ExpectedPicture | undefined {
  return source && followsTimeline ? expectedPictureOf(source.clip, source.timeline) : undefined;
}

/** An analyzer at work; `failure` is why it stopped. */
interface RunningAnalyzer {
  readonly definition: AnalyzerDefinition;
  readonly analyzer: Analyzer | undefined;
  failure: string | null;
}

async function startAnalyzer(definition: AnalyzerDefinition, setup: AnalyzerSetup): Promise<RunningAnalyzer> {
  try {
    return { definition, analyzer: await definition.create(setup), failure: null };
  } catch (error) {
    return { definition, analyzer: undefined, failure: reasonOf(error, setup.signal) };
  }
}

async function readFrames(
  setup: AnalyzerSetup,
  faces: FaceReader,
  running: readonly RunningAnalyzer[],
  onProgress: (fraction: number) => void,
): Promise<void> {
  const { input, facts, frameCount, signal } = setup;
  const range = { start: 0, end: frameCount };
  const sources = new SourcePictures(setup, faces);
  const pending: { readonly frame: Frame; readonly points: Promise<Float32Array | undefined> }[] = [];
  const finishOldest = async (): Promise<void> => {
    const oldest = pending.shift();
    if (!oldest) return;
    const assessed = await toAssessedFrame(oldest.frame, await oldest.points, { faces, sources, setup });
    for (const analyzer of running) await addFrame(analyzer, assessed, signal);
    onProgress((assessed.index + 1) / frameCount);
  };
  try {
    const every = running.some(({ analyzer }) => analyzer?.needsEveryFrame) ? 1 : faces.every;
    const path = input.videoPath;
    const frames = openFramesAhead({ path, facts, range, every, keepFrames: parallelFrames + 1, signal });
    for await (const frame of frames) {
      if (signal.aborted) throw abortError(signal);
      const points = faces.measure(frame.clipFrame, frame);
      points.catch(() => undefined);
      pending.push({ frame, points });
      if (pending.length > parallelFrames) await finishOldest();
    }
    while (pending.length > 0) await finishOldest();
  } finally {
    await sources.close();
  }
}

async function toAssessedFrame(
  frame: Frame,
  points: Float32Array | undefined,
  { faces, sources, setup }: { faces: FaceReader; sources: SourcePictures; setup: AnalyzerSetup },
): Promise<AssessedFrame> {
  const { clipFrame: index, width, height, data } = frame;
  const sourceFace = faces.sourceFrameAt(index);
  const timeMs = (index * 1000) / setup.framesPerSecond;
  const [picture, source] = [{ width, height, data }, await sources.at(index)];
  coverLabel(setup.input.label, timeMs, { take: picture, source });
  return {
    index,
    timeMs,
    picture,
    points,
    isMeasured: index % faces.every === 0,
    source: sourceFace && { ...sourceFace, picture: source },
  };
}

async function addFrame(running: RunningAnalyzer, frame: AssessedFrame, signal: AbortSignal): Promise<void> {
  if (!running.analyzer?.add || running.failure !== null) return;
  try {
    await running.analyzer.add(frame);
  } catch (error) {
    running.failure = reasonOf(error, signal);
  }
}

async function finishAnalyzer(
  { definition, analyzer, failure }: RunningAnalyzer,
  speech: VideoSpeech,
  signal: AbortSignal,
): Promise<Findings> {
  if (failure !== null) return failedFindings(definition, failure);
  if (!analyzer) return {};
  try {
    return await analyzer.finish(speech);
  } catch (error) {
    return failedFindings(definition, reasonOf(error, signal));
  }
}

/** The reason of a null part. An aborted assessment fails as a whole. */
function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) throw abortError(signal);
  return `The measurement failed. ${toLipsyncError(error).message}`;
}
