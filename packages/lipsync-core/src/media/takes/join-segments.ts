import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LipsyncError } from '../../errors/index.ts';
import { fileUrl, inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { framesPerSecond, type SpeechFacts } from '../media-types.ts';
import type { Timeline } from '../timeline.ts';
import { aacArguments } from './take-sound.ts';
import { defaultTakeEncoding, takeContainer, withoutMetadata, type TakeEncoding } from './take-encoding.ts';
import { verifyTake } from './take-writer.ts';

/** Time for copying the picture and encoding the sound, during which ffmpeg reports no progress. */
const timeLimitMs = 600_000;
/** Names that the list of the concat demuxer needs no quotes for. */
const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** The file of a segment: H.264 in MP4 without sound, made by `runTakeLoop`. */
export interface RenderedSegment {
  readonly path: string;
  readonly frameCount: number;
}

export interface JoinOptions {
  /** In the order of the take, all in one folder, under names of letters, digits, dots and hyphens. */
  readonly segments: readonly RenderedSegment[];
  readonly timeline: Pick<Timeline, 'frameRate' | 'frameCount'>;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly encoding?: TakeEncoding | undefined;
  /** Final path, replaced if it exists. */
  readonly takePath: string;
  readonly signal: AbortSignal;
}

/**
 * Joins the segments of a take without encoding them again, and encodes and muxes the whole speech once, as `openTake`
 * does. When this resolves, the take is complete and verified; otherwise no file is left. Throws `media_failed`, or the
 * abort error.
 */
export async function joinSegments(options: JoinOptions): Promise<void> {
  const { segments, timeline, takePath, speechPath, speech, signal } = options;
  const [first] = segments;
  if (!first) throw new LipsyncError('internal', 'A take has no segments.');
  const listPath = join(dirname(first.path), `segments-${randomUUID()}.txt`);
  const partPath = `${takePath}.${randomUUID()}.part`;
  try {
    await writeFile(listPath, listSegments(options));
    const joining = new MediaProcess({
      tool: 'ffmpeg',
      arguments: joinArguments(options, { listPath, partPath }),
      idleLimitMs: timeLimitMs,
      signal,
    });
    try {
      await joining.within(joining.ended);
    } finally {
      await joining.stop();
    }
    await verifyTake(partPath, { ...timeline, speech: { path: speechPath, facts: speech }, signal });
    await rename(partPath, takePath);
  } finally {
    await Promise.all([listPath, partPath].map((path) => rm(path, { force: true })));
  }
}

/**
 * The list of the concat demuxer. Without durations it would use those of the movie headers, which are whole
 * milliseconds. Rounding errors of microseconds do not add up.
 */
function listSegments({ segments, timeline }: JoinOptions): string {
  const fps = framesPerSecond(timeline.frameRate);
  const microsAt = (frame: number): number => Math.round((frame * 1_000_000) / fps);
  let frame = 0;
  const lines = segments.map(({ path, frameCount }) => {
    const name = basename(path);
    if (!plainName.test(name)) throw new LipsyncError('internal', 'A segment has an unexpected file name.');
    const durationMicros = microsAt(frame + frameCount) - microsAt(frame);
    frame += frameCount;
    return `file ${name}\nduration ${durationMicros}us\n`;
  });
  return `ffconcat version 1.0\n${lines.join('')}`;
}

function joinArguments(
  { timeline, speechPath, speech, encoding = defaultTakeEncoding }: JoinOptions,
  { listPath, partPath }: { readonly listPath: string; readonly partPath: string },
): readonly string[] {
  const durationS = timeline.frameCount / framesPerSecond(timeline.frameRate);
  return [
    '-protocol_whitelist',
    'file',
    '-format_whitelist',
    'concat,mov,mp4,m4a,3gp,3g2,mj2',
    '-f',
    'concat',
    '-safe',
    '1',
    '-i',
    fileUrl(listPath),
    ...inputArguments(speechPath),
    '-map',
    '0:v:0',
    '-map',
    `1:${speech.streamIndex}`,
    ...withoutMetadata,
    '-c:v',
    'copy',
    ...aacArguments(speech, durationS, encoding.audioBitrateKbps),
    ...takeContainer,
    '-y',
    fileUrl(partPath),
  ];
}
