import { rm } from 'node:fs/promises';
import { LipsyncError } from '../../errors/index.ts';
import { rawPixelFormat } from '../picture/decode-filter.ts';
import { fileUrl, inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { framesPerSecond, type ColorTags, type FrameRate, type SpeechFacts } from '../media-types.ts';
import {
  defaultTakeEncoding,
  pictureArguments,
  takeContainer,
  withoutMetadata,
  type TakeEncoding,
} from './take-encoding.ts';
import { labelArguments, type TakeLabel } from './label-picture.ts';
import { aacArguments } from './take-sound.ts';

/** Extra time for the last seconds of encoding and for moving the index to the front of a long file. */
const finishExtraMs = 240_000;

export interface TakeOptions {
  /**
   * Final path, replaced if it exists. The take is written to a partial file in the same folder until it is complete.
   */
  readonly path: string;
  /** Even numbers. */
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
  readonly frameCount: number;
  readonly color: ColorTags;
  /** Muxed from time 0, padded with silence or cut to the end of the video. Without it the take is silent. */
  readonly speech?: { readonly path: string; readonly facts: SpeechFacts };
  /** Defaults to `defaultTakeEncoding`. */
  readonly encoding?: TakeEncoding | undefined;
  /** Drawn over the start of the take; none by default. */
  readonly label?: TakeLabel | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TakeEncoderOptions extends TakeOptions {
  /** The file to write. */
  readonly partPath: string;
}

/**
 * The single encode of a take: H.264 yuv420p with fast start and the color tags of the clip, muxed with the speech as AAC
 * in the same run. The encoder applies backpressure. The caller calls `finish` or `abort`.
 */
export class TakeEncoder {
  readonly #options: TakeEncoderOptions;
  readonly #frameBytes: number;
  readonly #encoder: MediaProcess;
  #writtenFrames = 0;
  #isFinished = false;

  constructor(options: TakeEncoderOptions) {
    this.#options = options;
    this.#frameBytes = (options.width * options.height * 3) / 2;
    this.#encoder = new MediaProcess({
      tool: 'ffmpeg',
      arguments: encodeArguments(options),
      fed: true,
      signal: options.signal,
    });
  }

  /** As `TakeWriter.write`. */
  async write(frame: Uint8Array): Promise<void> {
    const { frameCount } = this.#options;
    if (frame.length !== this.#frameBytes)
      throw new LipsyncError('internal', `A frame has ${frame.length} bytes instead of ${this.#frameBytes}.`);
    if (this.#writtenFrames >= frameCount)
      throw new LipsyncError('internal', `The take is limited to ${frameCount} frames.`);
    this.#writtenFrames += 1;
    await this.#encoder.within(feed(this.#encoder, frame));
  }

  /** Completes the file, which the caller verifies. Throws `media_failed` or `internal`, and then leaves no file. */
  async finish(): Promise<void> {
    const { frameCount } = this.#options;
    try {
      if (this.#writtenFrames !== frameCount)
        throw new LipsyncError('internal', `The take has ${this.#writtenFrames} frames instead of ${frameCount}.`);
      this.#encoder.stdin?.end();
      await this.#encoder.within(this.#encoder.ended, finishExtraMs);
      this.#isFinished = true;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  /** Stops the encoder and deletes the file. Has no effect after `finish`. */
  async abort(): Promise<void> {
    if (this.#isFinished) return;
    await this.#encoder.stop();
    await rm(this.#options.partPath, { force: true });
  }
}

function feed({ stdin, ended }: MediaProcess, frame: Uint8Array): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    // A write fails when the encoder has ended; its exit explains the failure better.
    stdin?.write(frame, (error) => {
      if (error) void ended.then(resolve, reject);
      else resolve();
    });
  });
}

function encodeArguments(options: TakeEncoderOptions): readonly string[] {
  const { width, height, frameRate, frameCount, color, speech, encoding = defaultTakeEncoding } = options;
  const label =
    options.label && labelArguments(options.label, { stream: '0:v:0', index: speech ? 2 : 1, width, height });
  return [
    '-protocol_whitelist',
    'pipe',
    // Beside a second input, ffmpeg reads frames ahead; the writer queues enough of them.
    '-thread_queue_size',
    '2',
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
    ...(label ? [...label.input, ...label.filter] : []),
    '-map',
    label ? '[labeled]' : '0:v:0',
    ...(speech ? ['-map', `1:${speech.facts.streamIndex}`] : []),
    ...withoutMetadata,
    ...pictureArguments(encoding, color),
    ...(speech ? aacArguments(speech.facts, frameCount / framesPerSecond(frameRate), encoding.audioBitrateKbps) : []),
    ...takeContainer,
    '-y',
    fileUrl(options.partPath),
  ];
}
