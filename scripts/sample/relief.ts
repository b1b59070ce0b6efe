/** Lights and rotates the painted head with its relief (2.5-D), in one pass over its pixels. */
import { createCanvas, type Canvas } from '@napi-rs/canvas';
import { createHeadLight, findOpenness } from './head-light.ts';
import { bell, smoothStep } from './drawing-math.ts';
import { FACE_SPACE, TEXTURE_SCALE, type Pose } from './face-space.ts';
import { JAW_DROP, outlineMouth } from './paint-mouth.ts';
import type { Relief } from './sculpt.ts';

/**
 * Depth and height of the rotation axis of the head in face space. Points behind it do not move, because the rim is too
 * steep for the search from the front.
 */
const AXIS_DEPTH = 34;
const AXIS_Y = 110;
/** Rows of face space above this one do not move with the jaw. */
const JAW_TOP = 96;

const LINEAR = Float32Array.from({ length: 256 }, (_, value) => (value / 255) ** 2.2);

type HeadLayers = {
  readonly relief: Relief;
  /** Skin and hair from the front, at texture scale. */
  readonly still: Canvas;
  /** Share of hair per unit of face space; hair has less specular light than skin. */
  readonly hairShare: Float32Array;
};

/**
 * Prepares a function that draws the head of one frame from its painted features (eyes, brows, mouth).
 * The returned canvas covers face space at one pixel per unit; the next call reuses it.
 */
export function createHeadRenderer(layers: HeadLayers): (pose: Pose, features: Canvas) => Canvas {
  const { width, height } = FACE_SPACE;
  const still = pixelsOf(layers.still);
  const light = createHeadLight(layers.hairShare);
  const openness = findOpenness(layers.relief);
  const heights = new Float32Array(width * height);
  const movedOpenness = new Float32Array(width * height);
  const output = createCanvas(width, height);
  const context = output.getContext('2d');
  const image = context.createImageData(width, height);
  return (pose, features) => {
    const moving = pixelsOf(features);
    moveWithJaw(layers.relief.heights, heights, pose);
    addLips(heights, pose);
    moveWithJaw(openness, movedOpenness, pose);
    const lit = light(heights, movedOpenness, pose);
    gather(image.data, heights, lit, still, moving, pose);
    context.putImageData(image, 0, 0);
    return output;
  };
}

/** Drop of the skin with the jaw at a point of the face, in pixels. */
function jawDrop(x: number, y: number, opening: number): number {
  const side = 1 - 0.75 * smoothStep(70, 128, Math.abs(x));
  return JAW_DROP * opening * side * smoothStep(JAW_TOP, 178, y);
}

/** Copies a map of the face at rest, with its lower part moved down with the jaw. */
function moveWithJaw(rest: Float32Array, moved: Float32Array, pose: Pose): void {
  const { left, top, width, height } = FACE_SPACE;
  const firstRow = JAW_TOP - top;
  moved.set(rest.subarray(0, firstRow * width));
  for (let row = firstRow; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const drop = jawDrop(column + left, row + top, pose.mouth.opening);
      moved[row * width + column] = sample(rest, column, row - drop);
    }
  }
}

function addLips(heights: Float32Array, pose: Pose): void {
  const { left, top, width } = FACE_SPACE;
  const outline = outlineMouth(pose.mouth);
  for (let y = Math.floor(outline.outerTop) - 12; y < outline.outerBottom + 16; y++) {
    for (let x = -Math.ceil(outline.halfWidth) - 2; x <= outline.halfWidth + 2; x++) {
      const index = (y - top) * width + x - left;
      heights[index] = (heights[index] ?? 0) + lipHeight(x, y, outline);
    }
  }
}

function lipHeight(x: number, y: number, outline: ReturnType<typeof outlineMouth>): number {
  const across = Math.abs(x) / (outline.halfWidth + 2);
  if (across >= 1) return 0;
  const taper = 1 - across ** 3;
  const upperMiddle = (outline.outerTop + outline.innerTop) / 2 + 1;
  const lowerMiddle = (outline.innerBottom + outline.outerBottom) / 2;
  const arch = (middle: number): number => middle + (outline.cornerY - middle) * across ** 2.4;
  const upper = 3.6 * bell(y - arch(upperMiddle), 4.6);
  const lower = 6 * bell(y - arch(lowerMiddle), 6);
  const seam =
    2.6 *
    bell(y - arch((outline.innerTop + outline.innerBottom) / 2), 1.8 + 0.3 * (outline.innerBottom - outline.innerTop));
  return taper * (upper + lower - seam);
}

/** Fills the picture: finds the point of the painted face that is visible at each pixel of the rotated head. */
function gather(
  target: Uint8ClampedArray,
  heights: Float32Array,
  lit: Float32Array,
  still: Uint8ClampedArray,
  moving: Uint8ClampedArray,
  pose: Pose,
): void {
  const { left, top, width, height } = FACE_SPACE;
  const turnX = Math.sin(pose.yaw);
  const turnY = Math.sin(pose.pitch);
  const narrowX = Math.cos(pose.yaw);
  const skin = new Float32Array(4);
  const feature = new Float32Array(4);
  const light = new Float32Array(4);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let x = column;
      let y = row;
      for (let step = 0; step < 3; step++) {
        const depth = Math.max(0, sample(heights, x, y) - AXIS_DEPTH);
        x = (column + left - turnX * depth) / narrowX - left;
        y = row - turnY * (depth + 0.0004 * (row + top - AXIS_Y) ** 2);
      }
      const faceY = y + top;
      const skinRow = faceY < JAW_TOP ? y : y - jawDrop(x + left, faceY, pose.mouth.opening);
      sampleTexture(still, x, skinRow, skin);
      sampleTexture(moving, x, y, feature);
      sampleLight(lit, x, y, light);
      writePixel(target, (row * width + column) * 4, skin, feature, light);
    }
  }
}

function writePixel(
  target: Uint8ClampedArray,
  offset: number,
  skin: Float32Array,
  feature: Float32Array,
  light: Float32Array,
): void {
  const over = (feature[3] ?? 0) / 255;
  const alpha = Math.max(skin[3] ?? 0, feature[3] ?? 0);
  target[offset + 3] = alpha;
  if (alpha < 1) return;
  const shine = (light[3] ?? 0) * (1 - 0.3 * over);
  for (let channel = 0; channel < 3; channel++) {
    const painted = (skin[channel] ?? 0) * (1 - over) + (feature[channel] ?? 0) * over;
    const linear = (LINEAR[Math.round(painted)] ?? 0) * (light[channel] ?? 0) + shine;
    target[offset + channel] = 255 * toneMap(linear) ** (1 / 2.2);
  }
}

/** Tone curve: keeps dark and middle tones and compresses highlights instead of clipping them. */
function toneMap(linear: number): number {
  return linear < 0.5 ? linear : 0.5 + 0.5 * (1 - Math.exp(-(linear - 0.5) / 0.5));
}

/** Bilinear value of a map with one cell per unit of face space. */
function sample(map: Float32Array, x: number, y: number): number {
  const { width, height } = FACE_SPACE;
  const column = Math.min(width - 2, Math.max(0, Math.floor(x)));
  const row = Math.min(height - 2, Math.max(0, Math.floor(y)));
  const right = Math.min(1, Math.max(0, x - column));
  const down = Math.min(1, Math.max(0, y - row));
  const index = row * width + column;
  const upper = (map[index] ?? 0) * (1 - right) + (map[index + 1] ?? 0) * right;
  const lower = (map[index + width] ?? 0) * (1 - right) + (map[index + width + 1] ?? 0) * right;
  return upper * (1 - down) + lower * down;
}

/** Bilinear light (four numbers) at a cell of face space. */
function sampleLight(lit: Float32Array, x: number, y: number, light: Float32Array): void {
  const { width, height } = FACE_SPACE;
  const column = Math.min(width - 2, Math.max(0, Math.floor(x)));
  const row = Math.min(height - 2, Math.max(0, Math.floor(y)));
  const right = Math.min(1, Math.max(0, x - column));
  const down = Math.min(1, Math.max(0, y - row));
  const cell = (row * width + column) * 4;
  const below = cell + width * 4;
  for (let channel = cell; channel < cell + 4; channel++) {
    const upper = (lit[channel] ?? 0) * (1 - right) + (lit[channel + 4] ?? 0) * right;
    const lower = (lit[channel + below - cell] ?? 0) * (1 - right) + (lit[channel + below - cell + 4] ?? 0) * right;
    light[channel - cell] = upper * (1 - down) + lower * down;
  }
}

/** Bilinear color (0–255, alpha not multiplied in) of a texture at a cell of face space. */
function sampleTexture(texture: Uint8ClampedArray, x: number, y: number, color: Float32Array): void {
  const width = FACE_SPACE.width * TEXTURE_SCALE;
  const height = FACE_SPACE.height * TEXTURE_SCALE;
  const u = x * TEXTURE_SCALE;
  const v = y * TEXTURE_SCALE;
  const column = Math.min(width - 2, Math.max(0, Math.floor(u)));
  const row = Math.min(height - 2, Math.max(0, Math.floor(v)));
  const right = Math.min(1, Math.max(0, u - column));
  const down = Math.min(1, Math.max(0, v - row));
  color.fill(0);
  let weightSum = 0;
  for (let corner = 0; corner < 4; corner++) {
    const share = (corner & 1 ? right : 1 - right) * (corner & 2 ? down : 1 - down);
    const offset = ((row + (corner >> 1)) * width + column + (corner & 1)) * 4;
    const weight = share * (texture[offset + 3] ?? 0);
    weightSum += weight;
    for (let channel = 0; channel < 3; channel++) {
      color[channel] = (color[channel] ?? 0) + weight * (texture[offset + channel] ?? 0);
    }
  }
  if (weightSum <= 0) return;
  for (let channel = 0; channel < 3; channel++) color[channel] = (color[channel] ?? 0) / weightSum;
  color[3] = weightSum;
}

function pixelsOf(canvas: Canvas): Uint8ClampedArray {
  return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
}
