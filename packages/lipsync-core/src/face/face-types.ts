/** The face mesh's 468 points and five for each iris (468–472 left in the picture, 473–477 right). A detector may place the irises without measuring them. */
export const landmarkCount = 478;

/** How a frame's face was come by. */
export type FacePresence = 'absent' | 'found' | 'interpolated';

/** The tracked face in one clip frame. */
export interface FaceFrame {
  readonly presence: FacePresence;
  /** `landmarkCount × 3` values: x, y in upright clip pixels, z in the same scale (towards the camera is negative). Empty when absent. */
  readonly points: Float32Array;
}

/**
 * One stable face through a range of a clip. Random access; reads from disk, so its size does not depend on the clip.
 * Every frame number here counts from the beginning of the range that was asked for.
 */
export interface FaceTrack {
  readonly frameCount: number;
  /** First frame of each shot, ascending, beginning with 0. */
  readonly shotStarts: readonly number[];
  /** Ranges of frames without a face, end exclusive. */
  readonly absentRanges: readonly { readonly start: number; readonly end: number }[];
  /** Whether the track came out of the cache. */
  readonly cached: boolean;
  /** Throws a RangeError outside the range. */
  frame(index: number): FaceFrame;
  close(): void;
}

/** Detects faces and their landmarks in a picture. The port: another detector takes its place by implementing it. */
export interface FaceDetector {
  /** Identifies detector and version; part of the cache key of tracks. */
  readonly id: string;
  /** Every face in an RGB picture of `width × height × 3` bytes, as boxes in its pixels; best first. */
  detect(rgb: Uint8Array, width: number, height: number): Promise<readonly FaceBox[]>;
  /** The mesh of the face inside `region`; undefined when there is none there. */
  mesh(rgb: Uint8Array, width: number, height: number, region: FaceRegion): Promise<FaceMesh | undefined>;
  close(): Promise<void>;
}

export interface FaceBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Confidence, 0–1. */
  readonly score: number;
  /** In-plane rotation of the head, radians, from the eyes' line. */
  readonly roll: number;
}

/** A square region to look for a mesh in: center, side, and the in-plane rotation to undo. */
export interface FaceRegion {
  readonly centerX: number;
  readonly centerY: number;
  readonly side: number;
  readonly roll: number;
}

export interface FaceMesh {
  /** `landmarkCount × 3`, in the picture's pixels. */
  readonly points: Float32Array;
  /** Confidence that the region holds a face, 0–1. */
  readonly score: number;
}
