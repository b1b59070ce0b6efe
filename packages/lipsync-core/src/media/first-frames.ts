import { inputArguments } from './ffmpeg-arguments.ts';
import { asUnusable } from './input-checks.ts';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool } from './ffmpeg-process.ts';
import type { Interlacing } from './media-types.ts';

export interface FirstFrames {
  /** Absent for progressive frames. */
  readonly interlacing?: Interlacing;
}

export interface FirstFramesOptions {
  readonly streamIndex: number;
  readonly demuxer?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Frames to decode: about a second, in which a speaker moves. */
const sampledFrames = 24;
/** Fewest frames with a recognized order of fields, and their largest share of other frames, for unmarked interlacing. */
const minRecognizedFrames = 8;
const largestOtherShare = 0.1;
const maxReportBytes = 65_536;

/**
 * Decodes the first frames of a clip or the only one of a still. Throws `clip_unusable` when there are none,
 * `media_failed`, or the abort error.
 */
export async function readFirstFrames(path: string, options: FirstFramesOptions): Promise<FirstFrames> {
  const { streamIndex, demuxer, signal } = options;
  const report = await runMediaTool({
    tool: 'ffmpeg',
    arguments: [
      ...inputArguments(path, demuxer),
      '-map',
      `0:${streamIndex}`,
      '-frames:v',
      String(sampledFrames),
      '-vf',
      // The mark of a frame is printed as its time; ffprobe reports it only for some containers.
      'setpts=INTERLACED,idet,metadata=print:key=lavfi.idet.multiple.current_frame:file=-',
      '-fps_mode',
      'passthrough',
      '-f',
      'null',
      '-',
    ],
    maxBytes: maxReportBytes,
    signal,
  }).catch((error: unknown) => {
    throw asUnusable(error, 'clip_unusable', undecodable);
  });
  const frameCount = countMatches(report, /^frame:/gm);
  if (frameCount === 0) throw new LipsyncError('clip_unusable', undecodable);
  const interlacing = findInterlacing(report);
  return interlacing === undefined ? {} : { interlacing };
}

const undecodable =
  'The first frame of the clip cannot be decoded: the file is damaged or its codec is not supported. Convert it to MP4 (H.264) first.';

function findInterlacing(report: string): Interlacing | undefined {
  if (/^frame:.* pts:1\b/m.test(report)) return 'marked';
  const countOf = (kind: string): number => countMatches(report, new RegExp(`current_frame=${kind}$`, 'gm'));
  const [topFirst, bottomFirst, progressive] = [countOf('tff'), countOf('bff'), countOf('progressive')];
  const recognized = Math.max(topFirst, bottomFirst);
  const others = topFirst + bottomFirst + progressive - recognized;
  if (recognized < minRecognizedFrames || others > recognized * largestOtherShare) return undefined;
  return topFirst > bottomFirst ? 'top_first' : 'bottom_first';
}

function countMatches(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
