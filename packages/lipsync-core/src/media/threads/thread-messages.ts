import type { ErrorCode } from '../../errors/index.ts';
import type { FrameStatistics } from '../frame-pool.ts';
import type { Frame } from '../frame-reader.ts';

/** A failure on its way between threads, which carry no error types. */
export interface ThreadFailure {
  readonly type: 'failed';
  readonly code: ErrorCode;
  readonly message: string;
  readonly cause: string;
}

/** To the reading thread: room for one more frame, or the end. */
export type ToFrameThread = { readonly type: 'more' } | { readonly type: 'stop' };

/** From the reading thread. The pixels of a frame are shared memory and are not copied. */
export type FromFrameThread =
  | { readonly type: 'frame'; readonly frame: Frame }
  | { readonly type: 'ended'; readonly statistics: FrameStatistics }
  | ThreadFailure;

/** To the writing thread, which answers `frame` and `finish` once each, in order. */
export type ToTakeThread = { readonly type: 'frame'; readonly data: Uint8Array } | { readonly type: 'finish' } | { readonly type: 'abort' };

export type FromTakeThread = { readonly type: 'done' } | ThreadFailure;
