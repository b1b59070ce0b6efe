import type { CarriedFailure } from '../../errors/carried-failure.ts';
import type { FrameStatistics } from '../frame-pool.ts';
import type { Frame } from '../frame-reader.ts';

/** To the reading thread: room for one more frame, or the end. */
export type ToFrameThread = { readonly type: 'more' } | { readonly type: 'stop' };

/** From the reading thread. The pixels of a frame are shared memory and are not copied. */
export type FromFrameThread =
  | { readonly type: 'frame'; readonly frame: Frame }
  | { readonly type: 'ended'; readonly statistics: FrameStatistics }
  | CarriedFailure;

/** To the writing thread, which answers `frame` and `finish` once each, in order. */
export type ToTakeThread =
  | { readonly type: 'frame'; readonly data: Uint8Array }
  | { readonly type: 'finish' }
  | { readonly type: 'abort' };

export type FromTakeThread = { readonly type: 'done' } | CarriedFailure;
