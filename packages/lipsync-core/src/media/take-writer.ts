import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { rawPixelFormat } from './decode-filter.ts';
import { MediaProcess } from './ffmpeg-process.ts';
import { fileUrl, inputArguments } from './media-input.ts';
import { framesPerSecond, type ColorTags, type FrameRate, type SpeechFacts } from './media-types.ts';
import { probeTake } from './probe.ts';
import { aacArguments } from './sound-arguments.ts';

/** The last seconds of encoding and moving the index to the front of a long file. */
const finishExtraMs = 240_000;

export interface TakeOptions {
  /** Final name; written aside in the same folder until complete. An existing file is replaced. */
  readonly path: string;
  /** Even numbers. */
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
  readonly frameCount: number;
  readonly color: ColorTags;
  /** Laid under the picture from time 0, padded with silence or cut to the picture's end. Without it the take is silent. */
  readonly speech?: { readonly path: string; readonly facts: SpeechFacts };
  readonly signal?: AbortSignal | undefined;
}

/** A take being written. Whoever opens one calls `finish` or `abort`. */
export interface TakeWriter {
  /**
   * Encodes the next frame, I420. Resolves when the encoder has taken it in: then the buffer may be used again.
   * Throws `media_failed`, `internal` for a frame of the wrong size or one too many, or the abort's error.
   */
  write(frame: Uint8Array): Promise<void>;
  /**
   * Ends the file, measures it and gives it its final name. Throws `media_failed` when it is not what was promised;
   * nothing is left behind then.
   */
  finish(): Promise<void>;
  /** Ends the encoder and removes what was written. Does nothing after `finish`. */
  abort(): Promise<void>;
}

/**
 * Starts the one encode of a take: H.264 yuv420p with fast start and the clip's color tags, muxed with the speech as
 * AAC in the same run. Frames come in at any pace; the encoder pushes back.
 */
export function openTake(options: TakeOptions): TakeWriter {
  const partPath = `${options.path}.${randomUUID()}.part`;
  const frameBytes = (options.width * options.height * 3) / 2;
  const encoder = new MediaProcess({
    tool: 'ffmpeg',
    arguments: encodeArguments(options, partPath),
    fed: true,
    signal: options.signal,
  });
  let written = 0;
  let renamed = false;

  const abort = async (): Promise<void> => {
    if (renamed) return;
    await encoder.stop();
    await rm(partPath, { force: true });
  };
  const write = async (frame: Uint8Array): Promise<void> => {
    if (frame.length !== frameBytes)
      throw new LipsyncError('internal', `A frame has ${frame.length} bytes instead of ${frameBytes}.`);
    if (written >= options.frameCount)
      throw new LipsyncError('internal', `The take has only ${options.frameCount} frames.`);
    written += 1;
    await encoder.within(feed(encoder, frame));
  };
  const finish = async (): Promise<void> => {
    try {
      if (written !== options.frameCount)
        throw new LipsyncError('internal', `The take has ${written} frames instead of ${options.frameCount}.`);
      encoder.stdin?.end();
      await encoder.within(encoder.ended, finishExtraMs);
      await requirePromises(partPath, options);
      await rename(partPath, options.path);
      renamed = true;
    } catch (error) {
      await abort();
      throw error;
    }
  };
  return { write, finish, abort };
}

function feed({ stdin, ended }: MediaProcess, frame: Uint8Array): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    // A write fails when the encoder has gone; how it ended is the better explanation.
    stdin?.write(frame, (error) => {
      if (error) void ended.then(resolve, reject);
      else resolve();
    });
  });
}

/** Frame count as asked for; picture and sound end within one frame of each other. */
async function requirePromises(path: string, { frameCount, frameRate, speech, signal }: TakeOptions): Promise<void> {
  const facts = await probeTake(path, { signal });
  const frameMs = 1000 / framesPerSecond(frameRate);
  const promised = { frameCount, hasSound: speech !== undefined };
  const apartMs = facts.audioDurationMs === null ? 0 : Math.abs(facts.audioDurationMs - facts.videoDurationMs);
  if (facts.frameCount === frameCount && apartMs <= frameMs && (facts.audioDurationMs !== null) === promised.hasSound)
    return;
  throw new LipsyncError('media_failed', 'The take that was written is not whole. Try again.', {
    details: { promised, ...facts },
  });
}

function encodeArguments(options: TakeOptions, partPath: string): readonly string[] {
  const { width, height, frameRate, frameCount, color, speech } = options;
  return [
    '-protocol_whitelist',
    'pipe',
    '-f',
    'rawvideo',
    '-pix_fmt',
    rawPixelFormat(color),
    '-video_size',
    `${width}x${height}`,
    '-framerate',
    `${frameRate.numerator}/${frameRate.denominator}`,
    '-i',
    'pipe:0',
    ...(speech ? inputArguments(speech.path) : []),
    '-map',
    '0:v:0',
    ...(speech ? ['-map', '1:a:0'] : []),
    '-map_metadata',
    '-1',
    '-map_chapters',
    '-1',
    // Less than half the work of veryfast at 17 as it comes, for a larger file (about 1 Mbit/s at 720p) and a thousandth less similarity.
    '-c:v',
    'libx264',
    '-preset',
    'veryfast',
    '-x264-params',
    'bframes=0:subme=0:me=dia:partitions=i4x4:8x8dct=0:rc-lookahead=3',
    '-crf',
    '16',
    '-pix_fmt',
    rawPixelFormat(color),
    '-fps_mode',
    'passthrough',
    ...colorArguments(color),
    ...(speech ? aacArguments(speech.facts, frameCount / framesPerSecond(frameRate)) : []),
    '-movflags',
    '+faststart',
    '-f',
    'mp4',
    '-y',
    fileUrl(partPath),
  ];
}

function colorArguments({ primaries, transfer, space, range }: ColorTags): readonly string[] {
  return [
    ...(primaries ? ['-color_primaries', primaries] : []),
    ...(transfer ? ['-color_trc', transfer] : []),
    ...(space ? ['-colorspace', space] : []),
    ...(range ? ['-color_range', range] : []),
  ];
}
