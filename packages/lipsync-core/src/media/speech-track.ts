import { rm } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { MediaProcess } from './ffmpeg-process.ts';
import { fileUrl, inputArguments } from './media-input.ts';
import { framesPerSecond, type ClipFacts, type SpeechFacts } from './media-types.ts';
import { probeTake } from './probe.ts';
import { aacArguments, wavArguments } from './sound-arguments.ts';
import type { Timeline } from './timeline.ts';

/** For whatever ffmpeg does here, which is to copy or to decode sound: it has no other way to show that it works. */
const timeLimitMs = 300_000;

export interface SpeechTrackOptions {
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  /** Written in place: the folder is the caller's own, and what is there counts only when this resolves. */
  readonly targetPath: string;
  readonly signal: AbortSignal;
}

/**
 * Writes the speech as a WAV file that lasts exactly as long as the timeline: padded with silence, or cut. Throws
 * `media_failed` or the abort's error; nothing is left behind then.
 */
export async function writeSpeechTrack({
  speechPath,
  speech,
  timeline,
  targetPath,
  signal,
}: SpeechTrackOptions): Promise<void> {
  await writeFileOrNothing(targetPath, signal, [
    ...inputArguments(speechPath),
    '-map',
    '0:a:0',
    '-map_metadata',
    '-1',
    ...wavArguments(speech, secondsOf(timeline)),
    '-f',
    'wav',
  ]);
}

export interface SoundSwapOptions extends SpeechTrackOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
}

/**
 * Whether a clip's pictures can stay as they are when it is laid along the timeline and becomes an MP4: every frame once,
 * in order, already as our encoder would write them.
 */
export function keepsPictures(clip: ClipFacts, timeline: Timeline): boolean {
  const plain =
    clip.kind === 'video' &&
    clip.codec === 'h264' &&
    clip.pixelFormat === 'yuv420p' &&
    clip.rotationDegrees === 0 &&
    !clip.variableFrameRate;
  return (
    plain &&
    timeline.windowStart === 0 &&
    timeline.windowLength === clip.frameCount &&
    timeline.frameCount === clip.frameCount
  );
}

/**
 * Puts the speech in place of a clip's sound without touching its pictures. Resolves with false, and leaves nothing,
 * when the clip does not lend itself to it after all. Throws the abort's error.
 */
export async function swapSound(options: SoundSwapOptions): Promise<boolean> {
  const { clipPath, speechPath, speech, timeline, targetPath, signal } = options;
  try {
    await writeFileOrNothing(targetPath, signal, [
      ...inputArguments(clipPath),
      ...inputArguments(speechPath),
      '-map',
      '0:v:0',
      '-map',
      '1:a:0',
      '-map_metadata',
      '-1',
      '-map_chapters',
      '-1',
      '-c:v',
      'copy',
      ...aacArguments(speech, secondsOf(timeline)),
      '-movflags',
      '+faststart',
      '-f',
      'mp4',
    ]);
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
  const sameSize = facts.width === clip.width && facts.height === clip.height;
  const longEnough =
    Math.abs(facts.videoDurationMs - timeline.durationMs) <= frameMs &&
    Math.abs((facts.audioDurationMs ?? 0) - timeline.durationMs) <= frameMs;
  return facts.frameCount === timeline.frameCount && sameSize && longEnough;
}

function secondsOf({ frameCount, frameRate }: Timeline): number {
  return frameCount / framesPerSecond(frameRate);
}

async function writeFileOrNothing(path: string, signal: AbortSignal, commands: readonly string[]): Promise<void> {
  const running = new MediaProcess({
    tool: 'ffmpeg',
    arguments: [...commands, '-y', fileUrl(path)],
    idleLimitMs: timeLimitMs,
    signal,
  });
  try {
    await running.within(running.ended);
  } catch (error) {
    await running.stop();
    await rm(path, { force: true });
    throw error;
  }
}
