/**
 * Face space: the plane on which the head is painted, seen from the front at rest. One unit is one pixel of the final
 * frame; x points right, y down, and the origin is between the eyes.
 */
export const FACE_SPACE = { left: -200, top: -240, width: 400, height: 460 } as const;

/** Pixels of painted textures per unit, so that slanted strokes stay smooth when sampled. */
export const TEXTURE_SCALE = 2;

/** Positions of facial features in face space, shared by painting, relief and motion. */
export const ANATOMY = {
  eyeX: 55,
  eyeHalfWidth: 28,
  browY: -38,
  noseTipY: 68,
  mouthY: 120,
  chinY: 184,
} as const;

/** The state of the presenter in one frame. */
export type Pose = {
  /** Radians; positive turns the face to the right of the picture. */
  readonly yaw: number;
  /** Radians; positive nods down. */
  readonly pitch: number;
  /** Radians; positive tilts clockwise. */
  readonly roll: number;
  /** Offset of the head in pixels. */
  readonly shiftX: number;
  readonly shiftY: number;
  /** 0 exhaled – 1 inhaled. */
  readonly breath: number;
  /** 0 closed – 1 open. */
  readonly eyeOpening: number;
  /** Offset of the pupils in pixels. */
  readonly gazeX: number;
  readonly gazeY: number;
  /** Rise of the eyebrows in pixels. */
  readonly browRaise: number;
  readonly mouth: MouthShape;
};

export type MouthShape = {
  /** 0 lips together – 1 as wide open as an "ah". */
  readonly opening: number;
  /** -1 pursed as for "oo" – 1 spread as for "ee". */
  readonly spread: number;
};
