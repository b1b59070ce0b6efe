/**
 * The plane the head is painted on, seen from the front at rest. One unit is one pixel of the finished frame,
 * x to the right of the picture, y downwards, the origin between the eyes.
 */
export const FACE_SPACE = { left: -200, top: -240, width: 400, height: 460 } as const;

/** Painted textures have this many pixels per unit, so that slanted strokes stay smooth when sampled. */
export const TEXTURE_SCALE = 2;

/** Where things sit in face space; painting, sculpting and motion all read it here. */
export const ANATOMY = {
  eyeX: 55,
  eyeHalfWidth: 28,
  browY: -38,
  noseTipY: 68,
  mouthY: 120,
  chinY: 184,
} as const;

/** Everything about the presenter that changes from frame to frame. */
export type Pose = {
  /** Radians: positive turns the face to the right of the picture. */
  readonly yaw: number;
  /** Radians: positive nods down. */
  readonly pitch: number;
  /** Radians: positive tilts clockwise. */
  readonly roll: number;
  /** Pixels the head moves on the frame. */
  readonly shiftX: number;
  readonly shiftY: number;
  /** 0 breathed out – 1 breathed in. */
  readonly breath: number;
  /** 0 closed – 1 open. */
  readonly eyeOpening: number;
  /** Pixels the pupils move. */
  readonly gazeX: number;
  readonly gazeY: number;
  /** Pixels the eyebrows rise. */
  readonly browRaise: number;
  readonly mouth: MouthShape;
};

export type MouthShape = {
  /** 0 lips together – 1 as wide open as an "ah". */
  readonly opening: number;
  /** -1 pursed as for "oo" – 1 spread as for "ee". */
  readonly spread: number;
};
