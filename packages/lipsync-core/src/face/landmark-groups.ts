/**
 * Names for points of the 468-point face mesh (plus ten iris points). "Left" and "right" are those of the picture when
 * the face looks into the camera unmirrored.
 */

/** Outer edge of the lips from the left corner over the upper lip to the right corner, and back over the lower lip. */
const outerLipsUpper = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291] as const;
const outerLipsLower = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291] as const;

/** Inner edge of the lips, the same way round. Point n of the upper half faces point n of the lower half. */
export const innerLipsUpper = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308] as const;
export const innerLipsLower = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308] as const;

/** Closed contours: upper half from left to right, then the lower half back, corners once. */
export const outerLips = closedContour(outerLipsUpper, outerLipsLower);
export const innerLips = closedContour(innerLipsUpper, innerLipsLower);

export const mouthCorners = { outer: [61, 291], inner: [78, 308] } as const;

/** Rings of lip points between the outer and the inner edge. */
const lipRings = [
  76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 77, 90, 180, 85, 16, 315, 404, 320, 307, 62, 183, 42, 41, 38, 12,
  268, 271, 272, 407, 292, 96, 89, 179, 86, 15, 316, 403, 319, 325,
] as const;

/** Outer and inner corner of each eye. */
export const leftEyeCorners = [33, 133] as const;
export const rightEyeCorners = [263, 362] as const;

/** Points that speech and expression hardly move: eye corners, root and bridge of the nose. They carry the head's pose. */
export const rigidPoints = [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 122, 351, 193, 417, 8, 245, 465] as const;

const aroundLips = [
  164, 167, 165, 92, 186, 57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 410, 322, 391, 393, 216, 436, 206, 426,
] as const;

const chinAndLowerCheeks = [
  200, 199, 175, 201, 421, 208, 428, 194, 418, 204, 424, 202, 422, 212, 432, 214, 434, 32, 262, 171, 396, 140, 369, 211,
  431, 210, 430, 169, 394, 170, 395, 152, 148, 176, 149, 150, 136, 377, 400, 378, 379, 365,
] as const;

/** Points that speech moves: lips, what surrounds them, and the chin. They are smoothed least. */
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
