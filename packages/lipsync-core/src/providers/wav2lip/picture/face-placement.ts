import { rollOf } from '../../../face/face-pose.ts';
import type { AffineTransform } from '../../../image/planes.ts';

/** The box of a face in upright clip pixels, turned with the head. */
export interface FacePlacement {
  readonly centerX: number;
  readonly centerY: number;
  readonly width: number;
  readonly height: number;
  /** Clockwise on the screen, radians. */
  readonly roll: number;
}

/**
 * The model was trained on boxes of a detector that goes from the middle of the forehead to the chin and from cheek to
 * cheek, with 10 pixels more at the bottom on faces of about 200 pixels. The mesh has the hairline (10) and the root of
 * the brows (9), whose middle is the middle of the forehead, the chin (152) and the outline of the face.
 */
const hairline = 10;
const browRoot = 9;
const outline = [
  10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
  172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
] as const;
const bottomPadShare = 0.05;
/** The outline runs before the ears, the detector's boxes end a little nearer, at the cheeks. */
const besideCheeksShare = 0.03;

/**
 * Where the model is to look for a face, from its landmarks (x, y, z triples in pixels). A function of one frame alone:
 * tracks are smooth already. Nothing is rounded, so that the box moves as smoothly as the face. Throws a RangeError when
 * the landmarks describe no face.
 */
export function placeFace(points: Float32Array): FacePlacement {
  const roll = rollOf(points);
  const cosine = Math.cos(roll);
  const sine = Math.sin(roll);
  const across = (landmark: number): number =>
    (points[landmark * 3] ?? NaN) * cosine + (points[landmark * 3 + 1] ?? NaN) * sine;
  const down = (landmark: number): number =>
    (points[landmark * 3 + 1] ?? NaN) * cosine - (points[landmark * 3] ?? NaN) * sine;
  let left = Infinity;
  let right = -Infinity;
  let chin = -Infinity;
  for (const landmark of outline) {
    left = Math.min(left, across(landmark));
    right = Math.max(right, across(landmark));
    chin = Math.max(chin, down(landmark));
  }
  const top = (down(hairline) + down(browRoot)) / 2;
  const bottom = chin + (chin - top) * bottomPadShare;
  const width = (right - left) * (1 - 2 * besideCheeksShare);
  const height = bottom - top;
  if (!(width > 0 && height > 0 && width + height < Infinity)) throw new RangeError('The landmarks describe no face.');
  const middleAcross = (left + right) / 2;
  const middleDown = (top + bottom) / 2;
  return {
    centerX: middleAcross * cosine - middleDown * sine,
    centerY: middleAcross * sine + middleDown * cosine,
    width,
    height,
    roll,
  };
}

/** Where the places of a crop of `columns × rows` that covers the whole box lie in the picture. */
export function pictureMapOf(
  { centerX, centerY, width, height, roll }: FacePlacement,
  columns: number,
  rows: number,
): AffineTransform {
  const acrossX = (Math.cos(roll) * width) / columns;
  const acrossY = (Math.sin(roll) * width) / columns;
  const downX = (-Math.sin(roll) * height) / rows;
  const downY = (Math.cos(roll) * height) / rows;
  const x = centerX - (acrossX * columns + downX * rows) / 2;
  const y = centerY - (acrossY * columns + downY * rows) / 2;
  return { x, y, acrossX, acrossY, downX, downY };
}

/** The same map the other way round: where the picture's places lie in the crop. */
export function cropMapOf(placement: FacePlacement, columns: number, rows: number): AffineTransform {
  const { x, y, acrossX, acrossY, downX, downY } = pictureMapOf(placement, columns, rows);
  const determinant = acrossX * downY - downX * acrossY;
  return {
    x: (downX * y - downY * x) / determinant,
    y: (acrossY * x - acrossX * y) / determinant,
    acrossX: downY / determinant,
    acrossY: -acrossY / determinant,
    downX: -downX / determinant,
    downY: acrossX / determinant,
  };
}
