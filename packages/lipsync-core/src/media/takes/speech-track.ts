import { rm } from 'node:fs/promises';
import fluentFfmpeg, { type FfmpegCommand } from 'fluent-ffmpeg';
import { LipsyncError } from '../../errors/index.ts';
import { fileUrl, untrustedInputOptions } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { framesPerSecond, type ClipFacts, type SpeechFacts } from '../media-types.ts';
import { probeTake } from './take-probe.ts';
import { takeContainer, withoutMetadata } from './take-encoding.ts';
import { aacArguments, wavArguments } from './take-sound.ts';
import { frameTimeMs, type Timeline } from '../timeline.ts';

/** Total time for copying or decoding sound, during which ffmpeg reports no progress. */
const timeLimitMs = 300_000;

export interface SpeechTrackOptions {
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  /** Written in place, so it must be in a private folder; valid only after this resolves. */
  readonly targetPath: string;
  readonly signal: AbortSignal;
}

/**
 * Writes the speech as a WAV file with exactly the duration of the timeline, padded with silence or cut. Throws
 * `media_failed` or the abort error and then leaves no file.
 */
export async function writeSpeechTrack({
  speechPath,
  speech,
  timeline,
  targetPath,
  signal,
}: SpeechTrackOptions): Promise<void> {
  const command = addInput(fluentFfmpeg(), speechPath).outputOptions(
    '-map',
    `0:${speech.streamIndex}`,
    '-map_metadata',
    '-1',
    ...wavArguments(speech, getDurationS(timeline)),
    '-f',
    'wav',
  );
  await runMux(command, targetPath, signal);
}

export interface SoundSwapOptions extends SpeechTrackOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
}

/**
 * Whether the video stream of a clip can be copied into the MP4 of a take: every frame once and in order from the start
 * of the file on, already in the format of the encoder.
 */
export function canCopyVideo(clip: ClipFacts, timeline: Timeline): boolean {
  const isEncoderFormat =
    clip.kind === 'video' &&
    clip.codec === 'h264' &&
    clip.pixelFormat === 'yuv420p' &&
    clip.orientation === 1 &&
    clip.hdr === undefined &&
    clip.interlacing === undefined &&
    clip.lowFrameRate === undefined &&
    !clip.variableFrameRate &&
    clip.clock?.type === 'container' &&
    clip.clock.joins.length === 0 &&
    !clip.warnings?.length &&
    (clip.startMs ?? 0) < frameTimeMs(timeline, 1) / 2;
  return (
    isEncoderFormat &&
    timeline.windowStart === 0 &&
    timeline.windowLength === clip.frameCount &&
    timeline.frameCount === clip.frameCount
  );
}

/**
 * Replaces the sound of a clip by the speech and copies the video stream. Resolves with false and leaves no file when
 * the result is not as planned or ffmpeg fails. Throws the abort error.
 */
export async function swapSound(options: SoundSwapOptions): Promise<boolean> {
  const { clipPath, speechPath, speech, timeline, targetPath, signal } = options;
  const command = addInput(addInput(fluentFfmpeg(), clipPath), speechPath).outputOptions(
    '-map',
    '0:v:0',
    '-map',
    `1:${speech.streamIndex}`,
    ...withoutMetadata,
    '-c:v',
    'copy',
    ...aacArguments(speech, getDurationS(timeline)),
    ...takeContainer,
  );
  try {
    await runMux(command, targetPath, signal);
    if (await isAsPlanned(options)) return true;
  } catch (error) {
    if (signal.aborted || !LipsyncError.isInstance(error)) throw error;
  }
  await rm(targetPath, { force: true });
  return false;
}

async function isAsPlanned({ clip, timeline, targetPath, signal }: SoundSwapOptions): Promise<boolean> {
  const facts = await probeTake(targetPath, { signal });
  const frameMs = 1000 / framesPerSecond(timeline.frameRate);
  const hasSameSize = facts.width === clip.width && facts.height === clip.height;
  const hasDuration =
    Math.abs(facts.videoDurationMs - timeline.durationMs) <= frameMs &&
    Math.abs((facts.audioDurationMs ?? 0) - timeline.durationMs) <= frameMs;
  return facts.frameCount === timeline.frameCount && hasSameSize && hasDuration;
}

function getDurationS({ frameCount, frameRate }: Timeline): number {
  return frameCount / framesPerSecond(frameRate);
}

function addInput(command: FfmpegCommand, path: string): FfmpegCommand {
  return command.input(fileUrl(path)).inputOptions(...untrustedInputOptions());
}

/**
 * Runs a command that fluent-ffmpeg built. The package itself would start ffmpeg without a time limit and without the
 * means to stop it, so only its argument list is used. A failure leaves no file.
 */
async function runMux(command: FfmpegCommand, targetPath: string, signal: AbortSignal): Promise<void> {
  const running = new MediaProcess({
    tool: 'ffmpeg',
    // oxlint-disable-next-line no-underscore-dangle -- no other method returns the argument list
    arguments: ['-y', ...command.output(fileUrl(targetPath))._getArguments()],
    idleLimitMs: timeLimitMs,
    signal,
  });
  try {
    await running.within(running.ended);
  } catch (error) {
    await running.stop();
    await rm(targetPath, { force: true });
    throw error;
  }
}
