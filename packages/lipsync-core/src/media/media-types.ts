import type { ColorTags } from '../image/planes.ts';

export type { ColorTags, Picture } from '../image/planes.ts';

/** A frame rate as the exact ratio that the container states, e.g. 30000/1001. */
export interface FrameRate {
  readonly numerator: number;
  readonly denominator: number;
}

/** What we know of a clip after probing it: upright, constant frame rate, even dimensions as we will decode it. */
export interface ClipFacts {
  readonly kind: 'video' | 'still';
  /** Upright size after rotation metadata, in pixels, rounded down to even numbers. */
  readonly width: number;
  readonly height: number;
  /** Constant rate at which the clip is decoded; for a variable-rate source the nearest standard rate. */
  readonly frameRate: FrameRate;
  /** Frames at `frameRate`; 1 for a still. */
  readonly frameCount: number;
  readonly durationMs: number;
  readonly hasSound: boolean;
  readonly rotationDegrees: 0 | 90 | 180 | 270;
  readonly variableFrameRate: boolean;
  readonly codec: string;
  readonly pixelFormat: string;
  readonly color: ColorTags;
  readonly hdr: boolean;
}

export interface SpeechFacts {
  readonly codec: string;
  readonly sampleRateHz: number;
  readonly channels: number;
  readonly durationMs: number;
}

export interface MediaLimits {
  readonly maxDurationMs: number;
  readonly maxDimensionPx: number;
}

/** Frames per second as a floating-point number. */
export function framesPerSecond(rate: FrameRate): number {
  return rate.numerator / rate.denominator;
}
