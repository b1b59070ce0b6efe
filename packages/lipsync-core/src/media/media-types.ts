import type { Warning } from '../contract/provider-types.ts';
import type { ColorTags } from '../image/planes.ts';
import type { HdrColor } from './picture/color-conversion.ts';
import type { Orientation } from './picture/picture-orientation.ts';

export type { ColorTags, Picture } from '../image/planes.ts';

/** A frame rate as the exact ratio in the container, e.g. 30000/1001. */
export interface FrameRate {
  readonly numerator: number;
  readonly denominator: number;
}

/**
 * How the frames of a clip contain two fields of different times: marked as such in each frame, or unmarked with the top
 * or the bottom field first.
 */
export type Interlacing = 'marked' | 'top_first' | 'bottom_first';

/** Properties of a probed clip as it will be decoded: upright, constant frame rate, even dimensions. */
export interface ClipFacts {
  readonly kind: 'video' | 'still';
  /** Upright size after rotation, in pixels, rounded down to even numbers. */
  readonly width: number;
  readonly height: number;
  /** Constant rate at which the clip is decoded; the nearest standard rate for a variable-rate clip. */
  readonly frameRate: FrameRate;
  /** Frames at `frameRate`; 1 for a still. */
  readonly frameCount: number;
  readonly durationMs: number;
  readonly hasSound: boolean;
  /** Of the stored picture. */
  readonly orientation: Orientation;
  readonly variableFrameRate: boolean;
  /** Frames per second of the file, if they are so few that frames are repeated; `frameRate` is higher then. */
  readonly lowFrameRate?: number;
  /** Absent for progressive frames. */
  readonly interlacing?: Interlacing | undefined;
  readonly codec: string;
  readonly pixelFormat: string;
  /** Whether it has transparent parts, which are composited on black. */
  readonly transparent?: boolean;
  readonly color: ColorTags;
  /** Color of the stored picture of a PQ or HLG clip, which is decoded as BT.709; absent otherwise. */
  readonly hdr?: HdrColor | undefined;
  /** How a decoded frame finds its place; absent for a still. */
  readonly clock?: ClipClock | undefined;
  /** Time of the first frame as a player displays it; 0 by default. */
  readonly startMs?: number;
  /** What differs from what the owner of the clip may expect. */
  readonly warnings?: readonly Warning[];
  /** What a truncated file lacks; absent when nothing is known to be missing. */
  readonly missing?: string;
}

/** A jump of the clock of a container, as where two recordings are joined. */
export interface ClockJoin {
  /** Last time before the jump, in seconds. */
  readonly afterS: number;
  /** What is added to the times behind the jump, so that they follow those before it. */
  readonly shiftS: number;
}

/** The times of decoded frames. */
export type ClipClock =
  | {
      readonly type: 'container';
      /** Time of the first frame in the container, in seconds. */
      readonly originS: number;
      /** Whether frames can be found by seeking. */
      readonly canSeek: boolean;
      readonly joins: readonly ClockJoin[];
    }
  /** Frames without time stamps, at equal distances. */
  | { readonly type: 'counted' };

/** The sound that is read from a file. Plain data: it crosses a process boundary. */
export interface SoundSource {
  /** The audio stream, counted from 0 among all streams of the file. */
  readonly streamIndex: number;
  /** How its channels are mixed; without it the mean of all is taken. */
  readonly mix?: SoundMix | undefined;
  /** Where the sound may have been saved as mono at 16 kHz, so that it is not decoded again. */
  readonly samplesPath?: string | undefined;
}

/** How the channels of a recording are mixed. */
export interface SoundMix {
  /** Weight of each channel in the mono sound that is analyzed; 0 for a channel without voice, negative for an inverse one. */
  readonly weights: readonly number[];
  /** Whether the take gets the mono sound in place of the channels. */
  readonly isMixed: boolean;
  /** Factor on all samples that lowers peaks to full scale; 1 when none is above it. */
  readonly gain: number;
}

export interface SpeechFacts extends SoundSource {
  readonly codec: string;
  readonly sampleRateHz: number;
  readonly channels: number;
  readonly durationMs: number;
  /** How the channels were mixed when the file was written; absent when the file has all of them. `mix` has the rest. */
  readonly appliedMix?: SoundMix;
  /** Which of several audio streams is used; absent when there is only one, or when the request chose it. */
  readonly trackChoice?: string;
  /** As in `ClipFacts`. */
  readonly missing?: string;
  /** Milliseconds of data behind the end that the file states, which are not played; absent without any. */
  readonly unusedMs?: number;
}

export interface MediaLimits {
  readonly maxDurationMs: number;
  readonly maxDimensionPx: number;
}

/** Frames per second as a floating-point number. */
export function framesPerSecond(rate: FrameRate): number {
  return rate.numerator / rate.denominator;
}
