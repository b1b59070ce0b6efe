/** The relief of the head: the height of each point of face space towards the viewer. */
import type { Canvas } from '@napi-rs/canvas';
import { bell } from './drawing-math.ts';
import { FACE_SPACE } from './face-space.ts';

/** Heights in pixels, one per unit of face space, row by row. */
export type Relief = { readonly heights: Float32Array; readonly width: number; readonly height: number };

const DEPTH = 8.4;
const RELAXATION = 1.96;
const SWEEPS = 420;

/**
 * Bumps and hollows added to the inflated head: x, y, height, horizontal and vertical spread; mirrored unless x is 0.
 */
const FEATURES: readonly (readonly [number, number, number, number, number])[] = [
  // Forehead, brow ridge, eye sockets and eyeballs.
  [0, -85, 5, 60, 34],
  [48, -38, 7, 30, 9],
  [47, 0, -15, 25, 18],
  [55, 1, 11, 19, 12],
  [100, -40, -5, 22, 34],
  // Nose: bridge to tip, wings, the groove beside each wing.
  [0, -12, 6, 9, 17],
  [0, 16, 11, 9, 18],
  [0, 42, 18, 10.5, 17],
  [0, 62, 17, 13, 11],
  [0, 72, 13, 10.5, 8],
  [18, 75, 11, 7.5, 8],
  [31, 74, -4, 8, 12],
  // Cheekbones, the soft cheek, the fold from nose to mouth.
  [80, 36, 9, 26, 17],
  [62, 66, 6, 24, 24],
  [50, 104, -3.5, 9, 20],
  [88, 98, -4, 24, 26],
  // Mouth: the round of the teeth behind the lips, groove above, hollow below, corners.
  [0, 121, 12, 40, 26],
  [0, 100, -3, 5, 8],
  [7.5, 100, 1.6, 3.5, 8],
  [0, 149, -8, 26, 6.5],
  [52, 124, -4, 9, 9],
  // Chin.
  [0, 170, 12, 24, 13],
];

/**
 * Inflates a silhouette and adds the features of the face.
 *
 * @param silhouette alpha of the head, drawn at one pixel per unit of face space.
 */
export function sculptHead(silhouette: Canvas): Relief {
  const { width, height } = FACE_SPACE;
  const pixels = silhouette.getContext('2d').getImageData(0, 0, width, height).data;
  const heights = inflate((index) => (pixels[index * 4 + 3] ?? 0) > 127, width, height);
  for (const feature of FEATURES) {
    addFeature(heights, feature, 1);
    if (feature[0] !== 0) addFeature(heights, feature, -1);
  }
  return { heights, width, height };
}

/** Solves ∇²u = -1 inside the shape by over-relaxation; the square root of u is a smooth, rounded surface. */
function inflate(isInside: (index: number) => boolean, width: number, height: number): Float32Array {
  const field = new Float32Array(width * height);
  const inside: number[] = [];
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) if (isInside(y * width + x)) inside.push(y * width + x);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const index of inside) {
      const around =
        (field[index - 1] ?? 0) + (field[index + 1] ?? 0) + (field[index - width] ?? 0) + (field[index + width] ?? 0);
      const here = field[index] ?? 0;
      field[index] = here + RELAXATION * ((around + 1) / 4 - here);
    }
  }
  return field.map((value) => Math.sqrt(Math.max(0, value)) * (DEPTH / 5));
}

function addFeature(
  heights: Float32Array,
  [featureX, featureY, amount, across, along]: readonly [number, number, number, number, number],
  side: 1 | -1,
): void {
  const { left, top, width, height } = FACE_SPACE;
  for (let row = 0; row < height; row++) {
    const vertical = bell(row + top - featureY, along);
    if (vertical < 0.002) continue;
    for (let column = 0; column < width; column++) {
      const index = row * width + column;
      const rim = Math.min(1, (heights[index] ?? 0) / 30);
      if (rim <= 0) continue;
      heights[index] = (heights[index] ?? 0) + rim * amount * vertical * bell(column + left - side * featureX, across);
    }
  }
}
