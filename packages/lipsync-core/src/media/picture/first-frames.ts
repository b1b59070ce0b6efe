import { LipsyncError } from '../../errors/index.ts';
import { getAlphaDecoder, hasAlpha } from './color-conversion.ts';
import { inputArguments } from '../ffmpeg-arguments.ts';
import { asUnusable } from '../input-checks.ts';
import { runMediaTool } from '../ffmpeg-process.ts';
import type { Interlacing } from '../media-types.ts';

export interface FirstFrames {
  /** Time of the first frame in the container, in seconds. */
  readonly firstFrameS: number;
  /** Absent for progressive frames. */
  readonly interlacing?: Interlacing;
  /** Whether there are transparent parts: seen in stills and GIF, declared by other clips. */
  readonly transparent?: boolean;
}

export interface FirstFramesOptions {
  readonly streamIndex: number;
  readonly demuxer?: string | undefined;
  readonly codec: string;
  readonly pixelFormat: string;
  /** As it is encoded, in pixels. */
  readonly height: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Heights of interlaced video. Pictures of other heights are progressive unless they are marked: the movement of fine
 * patterns, as in drawings and test pictures, resembles interlacing.
 */
const interlacedHeights: ReadonlySet<number> = new Set([480, 486, 576, 608, 1080, 1088]);
/** Frames to decode to recognize unmarked interlacing: about a second, in which a speaker moves. */
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
  // Time and mark of a frame are printed as one number; ffprobe reports the mark only for some containers.
  const mark = 'round(if(isnan(T),0,T)*1000000)*2+INTERLACED';
  const filter = `setpts='${mark}',idet,metadata=print:key=lavfi.idet.multiple.current_frame:file=-`;
  const output = ['-fps_mode', 'passthrough', '-f', 'null', '-'];
  // ffmpeg marks a PNG whose rows are stored in several passes.
  const canBeInterlaced = options.demuxer === undefined && options.codec !== 'png';
  const canBeUnmarked = canBeInterlaced && interlacedHeights.has(options.height);
  const frames = String(canBeUnmarked ? sampledFrames : 1);
  const report = await runFilter(path, options, ['-frames:v', frames, '-vf', filter, ...output]);
  const marks = [...report.matchAll(/^frame:.* pts:(-?\d+)/gm)].map(([, text]) => Number(text));
  const [first] = marks;
  if (first === undefined) throw new LipsyncError('clip_unusable', undecodable);
  const isMarked = canBeInterlaced && marks.some((value) => value % 2 !== 0);
  const interlacing = isMarked ? 'marked' : canBeUnmarked && findUnmarked(report);
  const transparent = hasAlpha(options.pixelFormat) && (await isTransparent(path, options));
  const firstFrameS = Math.floor(first / 2) / 1e6;
  return { firstFrameS, ...(interlacing && { interlacing }), ...(transparent && { transparent }) };
}

async function runFilter(path: string, options: FirstFramesOptions, output: readonly string[]): Promise<string> {
  const { streamIndex, demuxer, codec, pixelFormat, signal } = options;
  const decoder = getAlphaDecoder(codec, pixelFormat);
  const decoding = decoder === undefined ? [] : ['-c:v', decoder];
  return runMediaTool({
    tool: 'ffmpeg',
    arguments: ['-copyts', ...decoding, ...inputArguments(path, demuxer), '-map', `0:${streamIndex}`, ...output],
    maxBytes: maxReportBytes,
    signal,
  }).catch((error: unknown) => {
    throw asUnusable(error, 'clip_unusable', decoder === undefined ? undecodable : undecodableAlpha(decoder));
  });
}

const undecodable =
  'The first frame of the clip cannot be decoded: the file is damaged or its codec is not supported. Convert it to MP4 (H.264) first.';

function undecodableAlpha(decoder: string): string {
  return `The transparent clip cannot be decoded: it is damaged, or this ffmpeg lacks the decoder ${decoder}. Convert the clip to one without transparency.`;
}

/** Transparency is looked for in parts of the picture, so that single pixels do not count. */
const gridSize = 16;

/**
 * Many stills and all GIF files can be transparent but are not, so their first picture is examined. Other clips with
 * transparency were made for it.
 */
async function isTransparent(path: string, options: FirstFramesOptions): Promise<boolean> {
  if (options.demuxer === undefined && options.codec !== 'gif') return true;
  const toLetters = `lut=y='if(lt(val,254),65,66)'`;
  const filter = `format=rgba,alphaextract,scale=w=${gridSize}:h=${gridSize}:flags=area,format=gray,${toLetters}`;
  const letters = await runFilter(path, options, ['-frames:v', '1', '-vf', filter, '-f', 'rawvideo', '-']);
  return letters.includes('A');
}

function findUnmarked(report: string): Interlacing | undefined {
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
