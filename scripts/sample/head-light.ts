/** Lighting of the relief: a warm key light from the left, a cool fill light, a rim light from behind. */
import { clamp, smoothStep } from './drawing-math.ts';
import { FACE_SPACE, type Pose } from './face-space.ts';
import type { Relief } from './sculpt.ts';

type Vector = readonly [number, number, number];

const KEY = normalize([-0.55, -0.52, 0.72]);
const FILL = normalize([0.8, -0.05, 0.5]);
const HALF_KEY = normalize([KEY[0], KEY[1], KEY[2] + 1]);
const KEY_COLOUR: Vector = [1.06, 0.96, 0.86];
const FILL_COLOUR: Vector = [0.13, 0.155, 0.2];
const AMBIENT: Vector = [0.19, 0.17, 0.175];
const RIM_COLOUR: Vector = [0.3, 0.34, 0.42];
/** Approximates subsurface scattering: shadows are softer in red than in blue. */
const WRAP: Vector = [0.45, 0.3, 0.22];
const OCCLUSION_RADII_PX = [5, 16] as const;

/**
 * Prepares a function that computes the light of one frame: per unit of face space, factors for red, green and blue and
 * the specular light to add, all linear. The next call reuses the returned array.
 */
export function createHeadLight(
  hairShare: Float32Array,
): (heights: Float32Array, openness: Float32Array, pose: Pose) => Float32Array {
  const { width, height } = FACE_SPACE;
  const lit = new Float32Array(width * height * 4);
  return (heights, openness, pose) => {
    for (let row = 1; row < height - 1; row++) {
      for (let column = 1; column < width - 1; column++) {
        const index = row * width + column;
        const slopeX = ((heights[index + 1] ?? 0) - (heights[index - 1] ?? 0)) / 2;
        const slopeY = ((heights[index + width] ?? 0) - (heights[index - width] ?? 0)) / 2;
        const normal = normalize([-slopeX + pose.yaw, -slopeY + pose.pitch, 1]);
        lightPoint(lit, index * 4, normal, openness[index] ?? 1, hairShare[index] ?? 0);
      }
    }
    return lit;
  };
}

function lightPoint(lit: Float32Array, offset: number, normal: Vector, open: number, hair: number): void {
  const key = dot(normal, KEY);
  const fill = Math.max(0, dot(normal, FILL));
  const rim = smoothStep(0.62, 0.97, 1 - normal[2]) * smoothStep(-0.1, 0.6, normal[0]);
  for (let channel = 0; channel < 3; channel++) {
    const wrap = WRAP[channel] ?? 0;
    const diffuse = Math.max(0, (key + wrap) / (1 + wrap));
    lit[offset + channel] =
      open *
        ((KEY_COLOUR[channel] ?? 0) * diffuse * 1.12 + (FILL_COLOUR[channel] ?? 0) * fill + (AMBIENT[channel] ?? 0)) +
      (RIM_COLOUR[channel] ?? 0) * rim * 0.35;
  }
  const gloss = Math.max(0, dot(normal, HALF_KEY));
  lit[offset + 3] = (1 - hair) * open * (0.045 * gloss ** 14 + 0.06 * gloss ** 60);
}

/** Ambient occlusion: 1 on open surfaces, less where a point is below the mean of its surroundings. */
export function findOpenness({ heights, width, height }: Relief): Float32Array {
  const open = new Float32Array(heights.length).fill(1);
  for (const radius of OCCLUSION_RADII_PX) {
    const around = boxBlur(boxBlur(heights, width, height, radius), width, height, radius);
    for (let index = 0; index < open.length; index++) {
      const hollow = ((around[index] ?? 0) - (heights[index] ?? 0)) / radius;
      if ((heights[index] ?? 0) > 0) open[index] = (open[index] ?? 1) * clamp(1 - 0.75 * Math.max(0, hollow), 0.45, 1);
    }
  }
  return open;
}

/** Box filter with running sums along rows, then columns. */
function boxBlur(map: Float32Array, width: number, height: number, radius: number): Float32Array {
  const rows = blurLines(map, height, width, width, 1, radius);
  return blurLines(rows, width, height, 1, width, radius);
}

function blurLines(
  map: Float32Array,
  lines: number,
  length: number,
  lineStride: number,
  stride: number,
  radius: number,
): Float32Array {
  const result = new Float32Array(map.length);
  for (let line = 0; line < lines; line++) {
    const at = (position: number): number => map[line * lineStride + clamp(position, 0, length - 1) * stride] ?? 0;
    let sum = 0;
    for (let position = -radius; position <= radius; position++) sum += at(position);
    for (let position = 0; position < length; position++) {
      result[line * lineStride + position * stride] = sum / (2 * radius + 1);
      sum += at(position + radius + 1) - at(position - radius);
    }
  }
  return result;
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function normalize([x, y, z]: Vector): Vector {
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}
