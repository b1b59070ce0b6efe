import { landmarkCount, type FaceFrame } from '../../src/face/face-types.ts';
import type { Picture } from '../../src/image/planes.ts';
import { jawLine, lipColorPoints, skinPoints } from '../../src/face/landmarks.ts';
import { lipContours, lipEdges } from '../../src/providers/preview/rendering/lip-curves.ts';

/** A synthetic face: landmarks and a picture that agree with each other. */
export interface DrawnFace {
  readonly width: number;
  readonly height: number;
  /** Nose base, pixels. */
  readonly x: number;
  readonly y: number;
  /** Pixels between the outer eye corners. */
  readonly scale: number;
  /** In-plane rotation and yaw of the head, radians. */
  readonly roll: number;
  readonly yaw: number;
  /** Distance between the inner lips, relative to the mouth's width. */
  readonly opening: number;
  /** Distance between the corners of the mouth, in eye distances; that of a resting mouth by default. */
  readonly mouthWidth?: number;
  /** Whether an open mouth shows lower teeth. */
  readonly showsLowerTeeth?: boolean;
  /** Whether the skin beside the corners is dark. */
  readonly hasCornerShadow?: boolean;
  /** Whether only the inner half of the lips is red, as in a small face. */
  readonly hasBrownRim?: boolean;
}

export const plainFace: DrawnFace = {
  width: 480,
  height: 480,
  x: 240,
  y: 240,
  scale: 150,
  roll: 0,
  yaw: 0,
  opening: 0,
};

/** In eye distances. */
const mouth = { down: 0.33, width: 0.55, upperThickness: 0.07, lowerThickness: 0.09 } as const;

const skullPoints: readonly (readonly [number, number, number])[] = [
  [33, -0.5, -0.62],
  [263, 0.5, -0.62],
  [133, -0.18, -0.6],
  [362, 0.18, -0.6],
  [9, 0, -0.78],
  [8, 0, -0.68],
  [168, 0, -0.6],
  [6, 0, -0.5],
  [197, 0, -0.4],
  [195, 0, -0.3],
  [5, 0, -0.2],
  [4, 0, -0.14],
  [1, 0, -0.1],
  [98, -0.17, -0.04],
  [327, 0.17, -0.04],
  [97, -0.07, -0.01],
  [326, 0.07, -0.01],
  [2, 0, 0],
  [127, -0.75, -0.6],
  [356, 0.75, -0.6],
  [234, -0.78, -0.35],
  [454, 0.78, -0.35],
  [21, -0.65, -0.95],
  [251, 0.65, -0.95],
  [116, -0.6, -0.4],
  [345, 0.6, -0.4],
  [10, 0, -1.25],
  [151, 0, -1.1],
];

function depthOf(u: number, v: number): number {
  const nose = 0.25 * Math.exp(-((u / 0.15) ** 2) - ((v + 0.15) / 0.2) ** 2);
  return 0.6 * u * u + 0.08 * v * v - nose;
}

interface LipLevels {
  readonly outerUpper: number;
  readonly innerUpper: number;
  readonly innerLower: number;
  readonly outerLower: number;
}

/** Lip edges at a position across the mouth (−1…1 from corner to corner), in eye distances below the nose base. */
function lipLevels(across: number, { opening, mouthWidth = mouth.width }: DrawnFace): LipLevels {
  const bell = Math.max(0, 1 - across * across);
  const raise = opening * mouthWidth * 0.25 * bell;
  const drop = opening * mouthWidth * 0.75 * bell;
  return {
    outerUpper: mouth.down - raise - mouth.upperThickness * bell,
    innerUpper: mouth.down - raise,
    innerLower: mouth.down + drop,
    outerLower: mouth.down + drop + mouth.lowerThickness * bell,
  };
}

/** Landmarks of the drawn face. */
export function landmarksOf(face: DrawnFace): FaceFrame {
  const points = new Float32Array(landmarkCount * 3);
  const place = (landmark: number, u: number, v: number): void => {
    const w = depthOf(u, v);
    const x = u * Math.cos(face.yaw) + w * Math.sin(face.yaw);
    const z = w * Math.cos(face.yaw) - u * Math.sin(face.yaw);
    points[landmark * 3] = face.x + face.scale * (x * Math.cos(face.roll) - v * Math.sin(face.roll));
    points[landmark * 3 + 1] = face.y + face.scale * (x * Math.sin(face.roll) + v * Math.cos(face.roll));
    points[landmark * 3 + 2] = face.scale * z;
  };
  for (let landmark = 0; landmark < landmarkCount; landmark += 1) place(landmark, 0, 0);
  for (const [landmark, u, v] of skullPoints) place(landmark, u, v);
  for (const [index, landmark] of skinPoints.entries()) place(landmark, index % 2 === 0 ? -0.4 : 0.4, 0.02 * index);
  for (const [index, landmark] of jawLine.entries()) {
    const angle = Math.PI * (index / (jawLine.length - 1));
    place(
      landmark,
      -0.65 * Math.cos(angle),
      0.2 + 0.65 * Math.sin(angle) + 0.5 * face.opening * mouth.width * Math.sin(angle),
    );
  }
  for (const edge of lipEdges) {
    const landmarks = lipContours[edge];
    for (const [index, landmark] of landmarks.entries()) {
      const across = -1 + (2 * index) / (landmarks.length - 1);
      place(landmark, (across * (face.mouthWidth ?? mouth.width)) / 2, lipLevels(across, face)[edge]);
    }
  }
  for (const [index, landmark] of lipColorPoints.entries()) {
    const levels = lipLevels(0.1, face);
    place(
      landmark,
      0.02 * index,
      index < 3 ? (levels.outerUpper + levels.innerUpper) / 2 : (levels.outerLower + levels.innerLower) / 2,
    );
  }
  return { presence: 'found', points };
}

/** Luma of the parts of the drawn face. */
export const levels = { skin: 170, lip: 120, teeth: 190, lowerTeeth: 180, cavity: 30, eye: 60 } as const;
/** Cr of the parts of the drawn face. */
export const redness = { skin: 140, lip: 160, brownRim: 143, teeth: 130, cavity: 134 } as const;

/** Its width is relative to half of the mouth's width, and its height in eye distances. */
const cornerShadow = { width: 0.14, height: 0.008 } as const;
const upperTeethHeight = 0.07;
const lowerTeethHeight = 0.045;

/** Luma and Cr at a position, in eye distances from the nose base. */
function colorAt(u: number, v: number, face: DrawnFace): readonly [luma: number, cr: number] {
  const across = u / ((face.mouthWidth ?? mouth.width) / 2);
  const texture = 6 * Math.sin(u * 40) * Math.sin(v * 43);
  if (Math.hypot(Math.abs(u) - 0.34, v + 0.61) < 0.17) return [levels.eye, 128];
  const edge = lipLevels(across, face);
  const isBesideCorner = Math.abs(across) >= 1 && Math.abs(across) < 1 + cornerShadow.width;
  if (face.hasCornerShadow && isBesideCorner && Math.abs(v - mouth.down) < cornerShadow.height)
    return [levels.cavity, redness.cavity];
  if (Math.abs(across) >= 1 || v < edge.outerUpper || v > edge.outerLower) return [levels.skin + texture, redness.skin];
  if (v <= edge.innerUpper || v >= edge.innerLower) {
    const isRim = v < (edge.outerUpper + edge.innerUpper) / 2 || v > (edge.innerLower + edge.outerLower) / 2;
    return [levels.lip + texture, face.hasBrownRim && isRim ? redness.brownRim : redness.lip];
  }
  if (v < edge.innerUpper + upperTeethHeight) return [levels.teeth, redness.teeth];
  if (face.showsLowerTeeth && v > edge.innerLower - lowerTeethHeight) return [levels.lowerTeeth, redness.teeth];
  return [levels.cavity, redness.cavity];
}

/** The picture that the landmarks describe (faces without yaw only). */
export function drawFace(face: DrawnFace): Picture {
  const { width, height } = face;
  const data = new Uint8Array((width * height * 3) / 2).fill(128);
  const crStart = width * height * 1.25;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const dx = (x - face.x) / face.scale;
      const dy = (y - face.y) / face.scale;
      const u = dx * Math.cos(face.roll) + dy * Math.sin(face.roll);
      const v = dy * Math.cos(face.roll) - dx * Math.sin(face.roll);
      const [luma, cr] = colorAt(u, v, face);
      data[y * width + x] = Math.round(luma);
      data[crStart + (y >> 1) * (width >> 1) + (x >> 1)] = cr;
    }
  }
  return { width, height, data };
}

/** Luma at a position of the drawn face, in eye distances from the nose base. */
export function lumaOf(picture: Picture, face: DrawnFace, u: number, v: number): number {
  const [x, y] = pixelAt(face, u, v);
  return picture.data[y * picture.width + x] ?? 0;
}

/** Cr at such a position. */
export function crOf({ width, height, data }: Picture, face: DrawnFace, u: number, v: number): number {
  const [x, y] = pixelAt(face, u, v);
  return data[width * height * 1.25 + (y >> 1) * (width >> 1) + (x >> 1)] ?? 0;
}

function pixelAt({ x, y, scale, roll }: DrawnFace, u: number, v: number): readonly [x: number, y: number] {
  return [
    Math.round(x + scale * (u * Math.cos(roll) - v * Math.sin(roll))),
    Math.round(y + scale * (u * Math.sin(roll) + v * Math.cos(roll))),
  ];
}

/**
 * Number of pixels on the vertical center line of the mouth that are darker than `darkLuma`, as a mouth's interior, or
 * as bright as teeth.
 */
export function insidePixels(picture: Picture, face: DrawnFace, darkLuma = 70): number {
  let count = 0;
  for (let step = 0; step < 0.6 * face.scale; step += 1) {
    const luma = lumaOf(picture, face, 0, 0.1 + step / face.scale);
    if (luma < darkLuma || luma > levels.skin + 12) count += 1;
  }
  return count;
}

export function copyOf(picture: Picture): Picture {
  return { ...picture, data: picture.data.slice() };
}
