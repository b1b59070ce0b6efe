/**
 * Landmark numbers of MediaPipe's face mesh: 468 points and five per iris. "Left" and "right" are those of the picture
 * when the face looks into an unmirrored camera.
 */

/** Outer lip contours from the left corner to the right one. */
export const outerLipsUpper = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291] as const;
export const outerLipsLower = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291] as const;

/**
 * Inner lip contours from the left corner to the right one. Point n of the upper lip lies opposite to point n of the
 * lower lip.
 */
export const innerLipsUpper = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308] as const;
export const innerLipsLower = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308] as const;

/** Closed contours: the upper lip from left to right, then the lower lip back; corners once. */
export const outerLips = closedContour(outerLipsUpper, outerLipsLower);
export const innerLips = closedContour(innerLipsUpper, innerLipsLower);

export const mouthCorners = { outer: [61, 291], inner: [78, 308] } as const;

/** Rings of lip points between the outer and the inner contour. */
const lipRings = [
  76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 77, 90, 180, 85, 16, 315, 404, 320, 307, 62, 183, 42, 41, 38, 12,
  268, 271, 272, 407, 292, 96, 89, 179, 86, 15, 316, 403, 319, 325,
] as const;

/** Outer and inner corner of each eye. */
export const leftEyeCorners = [33, 133] as const;
export const rightEyeCorners = [263, 362] as const;

export const noseBase = 2;
export const noseTip = 1;
/** The outline of the face in front of the ears. */
export const faceSides = [234, 454] as const;
export const chinTip = 152;
export const foreheadTop = 10;

/** Lower edge of the face from jaw angle to jaw angle. */
export const jawLine = [58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288] as const;

/**
 * Points that speech and expression hardly move: eye corners, root and bridge of the nose. Smoothing takes the head
 * pose from them.
 */
export const rigidPoints = [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 122, 351, 193, 417, 8, 245, 465] as const;

/** Points spread over the whole skull, for the fit of a head model: eye corners, forehead, nose, temples. */
export const skullPoints = [
  33, 133, 362, 263, 9, 8, 168, 6, 197, 195, 5, 4, 1, 98, 327, 97, 326, 2, 127, 356, 234, 454, 21, 251, 116, 345, 10,
  151,
] as const;

/**
 * The skull points next to the mouth. They anchor a fitted head, so that errors of rotation displace the mouth little.
 */
export const nosePoints = [98, 97, 2, 326, 327] as const;

/** Skin around the mouth, where brightness and color are measured. */
export const skinPoints = [205, 425, 50, 280, 207, 427, 36, 266, 203, 423] as const;

/** The middle of the red of the upper and lower lip. */
export const lipColorPoints = [72, 11, 302, 180, 85, 16, 315, 404] as const;

const aroundLips = [
  164, 167, 165, 92, 186, 57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 410, 322, 391, 393, 216, 436, 206, 426,
] as const;

const chinAndLowerCheeks = [
  200, 199, 175, 201, 421, 208, 428, 194, 418, 204, 424, 202, 422, 212, 432, 214, 434, 32, 262, 171, 396, 140, 369, 211,
  431, 210, 430, 169, 394, 170, 395, 152, 148, 176, 149, 150, 136, 377, 400, 378, 379, 365,
] as const;

/** Points that speech moves: lips, their surroundings and the chin. */
export const speechPoints: readonly number[] = [
  ...outerLips,
  ...innerLips,
  ...lipRings,
  ...aroundLips,
  ...chinAndLowerCheeks,
];

function closedContour(upper: readonly number[], lower: readonly number[]): readonly number[] {
  return [...upper, ...lower.slice(1, -1).reverse()];
}
