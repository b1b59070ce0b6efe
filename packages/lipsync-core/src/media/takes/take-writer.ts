import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { LipsyncError } from '../../errors/index.ts';
import { framesPerSecond } from '../media-types.ts';
import { TakeEncoder, type TakeOptions } from './take-encoder.ts';
import { probeTake } from './take-probe.ts';

/** A take that is being written. The caller calls `finish` or `abort`. */
export interface TakeWriter {
  /**
   * Encodes the next frame, I420. Resolves when the encoder has read it and the buffer may be reused. Throws
   * `media_failed`, `internal` for a frame of the wrong size or beyond the frame count, or the abort error.
   */
  write(frame: Uint8Array): Promise<void>;
  /**
   * Completes the file, verifies it and moves it to its final path. Throws `media_failed` when it is not as specified
   * and then leaves no file.
   */
  finish(): Promise<void>;
  /** Stops the encoder and deletes the partial file. Has no effect after `finish`. */
  abort(): Promise<void>;
}

/** Starts a take. As `TakeEncoder`, with a file that is verified and moved to its final path. */
export function openTake(options: TakeOptions): TakeWriter {
  const partPath = partPathOf(options);
  const encoder = new TakeEncoder({ ...options, partPath });
  return {
    write: (frame) => encoder.write(frame),
    async finish() {
      await encoder.finish();
      await completeTake(partPath, options);
    },
    abort: () => encoder.abort(),
  };
}

/** A path for the take until it is complete, in the same folder. */
export function partPathOf({ path }: Pick<TakeOptions, 'path'>): string {
  return `${path}.${randomUUID()}.part`;
}

/**
 * Verifies a file that an encoder has finished, and moves it to its final path. Throws `media_failed` when it is not as
 * specified, or the abort error, and then leaves no file.
 */
export async function completeTake(partPath: string, options: TakeOptions): Promise<void> {
  try {
    await verifyTake(partPath, options);
    await rename(partPath, options.path);
  } catch (error) {
    await rm(partPath, { force: true });
    throw error;
  }
}

/** Requires the specified frame count, and video and sound that end within one frame of each other. */
export async function verifyTake(
  path: string,
  { frameCount, frameRate, speech, signal }: Pick<TakeOptions, 'frameCount' | 'frameRate' | 'speech' | 'signal'>,
): Promise<void> {
  const facts = await probeTake(path, { signal });
  const frameMs = 1000 / framesPerSecond(frameRate);
  const expected = { frameCount, hasSound: speech !== undefined };
  const gapMs = facts.audioDurationMs === null ? 0 : Math.abs(facts.audioDurationMs - facts.videoDurationMs);
  if (facts.frameCount === frameCount && gapMs <= frameMs && (facts.audioDurationMs !== null) === expected.hasSound)
    return;
  throw new LipsyncError('media_failed', 'The rendered take is incomplete. Try again.', {
    details: { expected, ...facts },
  });
}
