/**
 * Landmark numbers of the 478-point mesh that the mouth renderer looks at. Lip contours run from the
 * mouth corner on the picture's left (of an unmirrored face) to the one on its right, corners included.
 */
export const outerUpperLip = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291] as const;
export const outerLowerLip = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291] as const;

/** Inner contours begin and end in the outer corners, because the lips touch between the inner and the outer corner. */
export const innerUpperLip = [61, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 291] as const;
export const innerLowerLip = [61, 78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 291] as const;

/** Lower edge of the face from jaw angle to jaw angle. */
export const jawLine = [58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288] as const;

/** Points that move with the skull only: eye corners, forehead, nose, temples. */
export const rigidPoints = [
  33, 133, 362, 263, 9, 8, 168, 6, 197, 195, 5, 4, 1, 98, 327, 97, 326, 2, 127, 356, 234, 454, 21, 251, 116, 345, 10,
  151,
] as const;

/** Those of `rigidPoints` next to the mouth; they fix where the head is, so that an error of rotation moves the mouth little. */
export const nosePoints = [98, 97, 2, 326, 327] as const;

/** Skin around the mouth from which brightness and color are taken. */
export const skinPoints = [205, 425, 50, 280, 207, 427, 36, 266, 203, 423] as const;

/** The middle of the upper and lower lip's red. */
export const lipPoints = [72, 11, 302, 180, 85, 16, 315, 404] as const;

export const eyeOuterLeft = 33;
export const eyeOuterRight = 263;
export const noseBase = 2;
export const chinTip = 152;
export const mouthCornerLeft = 61;
export const mouthCornerRight = 291;
