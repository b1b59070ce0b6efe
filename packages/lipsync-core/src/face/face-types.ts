import type { ColorMatrix } from '../image/color-matrix.ts';
import type { Picture } from '../image/planes.ts';

/**
 * Points of the face mesh: 468, and five per iris (468–472 left, 473–477 right in the picture). A detector may place
 * the irises without measuring them.
 */
export const landmarkCount = 478;

/** Whether the face of a frame was detected, interpolated between neighboring frames, or neither. */
export type FacePresence = 'absent' | 'found' | 'interpolated';

/** Mean position of a face in the clip, and its height from hairline to chin; pixels. */
export interface FacePlace {
  readonly x: number;
  readonly y: number;
  readonly height: number;
}

/** A range of frames of a track in which several faces are visible, end exclusive, and the one that is tracked. */
export interface FaceChoice {
  readonly start: number;
  readonly end: number;
  readonly chosen: FacePlace;
  /** The other faces. A still one never moves, while the chosen one does. */
  readonly others: readonly (FacePlace & { readonly isStill: boolean })[];
}

/** A range of frames of a track in which the mouth cannot be seen well, end exclusive. */
export interface HiddenRange {
  readonly start: number;
  readonly end: number;
  readonly reason: HiddenReason;
}

/** Why a mouth cannot be seen well. */
export const hiddenReasons = ['covered', 'overexposed', 'blurred', 'turned_away', 'too_small'] as const;
export type HiddenReason = (typeof hiddenReasons)[number];

/** The tracked face in one clip frame. */
export interface FaceFrame {
  readonly presence: FacePresence;
  /**
   * `landmarkCount × 3` landmark values: x and y in upright clip pixels, z in the same scale with negative values
   * towards the camera. Empty when the face is absent.
   */
  readonly points: Float32Array;
}

/**
 * One stable face through a range of a clip, with random access. It is read from disk, so memory does not depend on the
 * length. Frame numbers count from the start of the tracked range.
 */
export interface FaceTrack {
  readonly frameCount: number;
  /** First frame of each shot, ascending, beginning with 0. */
  readonly shotStarts: readonly number[];
  /** Ranges of frames without a face, end exclusive. */
  readonly absentRanges: readonly { readonly start: number; readonly end: number }[];
  /** Ranges of frames with a hidden mouth, in order. They do not cross cuts. */
  readonly hiddenRanges: readonly HiddenRange[];
  /** Ranges of frames with other faces beside the tracked one, in order. */
  readonly faceChoices: readonly FaceChoice[];
  /** Whether the track was read from the cache. */
  readonly cached: boolean;
  /** Throws a RangeError outside the track. */
  frame(index: number): FaceFrame;
  /** Opacity, 0–1, that a redrawn mouth may have. It fades to 0 where the mouth is hidden or the face is absent. */
  visibility(index: number): number;
  close(): void;
}

/** A picture in YUV with the matrix of its colors. */
export interface YuvPicture {
  readonly picture: Picture;
  readonly matrix: ColorMatrix;
}

/** Detects faces and their landmarks. Tests replace it; another model pair implements it. */
export interface FaceDetector {
  /** Name and version of the detector; part of the cache key of tracks. */
  readonly id: string;
  /** Returns the bounding boxes of all faces in an RGB picture of `width × height × 3` bytes, best first. */
  detect(rgb: Uint8Array, width: number, height: number): Promise<readonly FaceBox[]>;
  /** Returns the landmarks of the face in `region`, or undefined when it shows none. */
  mesh(rgb: Uint8Array, width: number, height: number, region: FaceRegion): Promise<FaceMesh | undefined>;
  /** The same for a picture in YUV. */
  planarMesh(picture: YuvPicture, region: FaceRegion): Promise<FaceMesh | undefined>;
  close(): Promise<void>;
}

/** Bounding box of a face, in pixels. */
export interface FaceBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Confidence, 0–1. */
  readonly score: number;
  /** In-plane rotation of the head from the line between the eyes, radians. */
  readonly roll: number;
}

/** A rotated square crop: the input region of the landmark model. Pixels and radians. */
export interface FaceRegion {
  readonly centerX: number;
  readonly centerY: number;
  readonly side: number;
  readonly roll: number;
}

export interface FaceMesh {
  /** `landmarkCount × 3` values, in pixels of the picture. */
  readonly points: Float32Array;
  /** Confidence that the region shows a face, 0–1. */
  readonly score: number;
}
