import { lumaOf } from '../../image/color-matrix.ts';

/** 8-bit RGB picture, `width × height × 3` bytes, rows from the top. */
export interface RgbFrame {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Brightness of a picture, one value per pixel. */
export interface LumaPicture {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/**
 * Maps a position of the clip to the take, both as shares of the picture from its center:
 * `take = scale × clip + shift`.
 */
export interface Registration {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly shiftX: number;
  readonly shiftY: number;
}

/** Luma of a pixel. */
export function lumaAt({ data }: RgbFrame, pixel: number): number {
  const index = pixel * 3;
  return lumaOf(data[index] ?? 0, data[index + 1] ?? 0, data[index + 2] ?? 0);
}

/** Shrinks a picture to at most `longSidePx` by averaging blocks of pixels. */
export function shrink(frame: RgbFrame, longSidePx: number): LumaPicture {
  const block = Math.max(1, Math.ceil(Math.max(frame.width, frame.height) / longSidePx));
  const width = Math.max(1, Math.floor(frame.width / block));
  const height = Math.max(1, Math.floor(frame.height / block));
  const values = new Float32Array(width * height);
  for (let y = 0; y < height * block; y += 1) {
    const row = Math.floor(y / block) * width;
    for (let x = 0; x < width * block; x += 1) {
      const target = row + Math.floor(x / block);
      values[target] = (values[target] ?? 0) + lumaAt(frame, y * frame.width + x) / (block * block);
    }
  }
  return { values, width, height };
}

export const identity: Registration = Object.freeze({ scaleX: 1, scaleY: 1, shiftX: 0, shiftY: 0 });

/** Correlation from which a position is refined without a search. */
const closeMatch = 0.97;
const largestShift = 0.05;
const scales = [0.94, 0.96, 0.98, 1, 1.02, 1.04, 1.06, 1.08, 1.1];
const searchSteps = 8;
/** Steps of the refinement, as shares of the picture. */
const refinements = [0.005, 0.002, 0.0008];
const largestTurnCount = 20;

/**
 * Finds how a vendor scaled and cropped the picture: the best correlation of two corresponding pictures. Tries `guess`
 * before it searches.
 */
export function registerPictures(clip: LumaPicture, take: LumaPicture, guess: Registration): Registration {
  const start = correlate(clip, take, guess) >= closeMatch ? guess : search(clip, take, guess);
  return refine(clip, take, start);
}

function search(clip: LumaPicture, take: LumaPicture, guess: Registration): Registration {
  const [smallClip, smallTake] = [halve(halve(clip)), halve(halve(take))];
  let best = guess;
  let bestR = correlate(smallClip, smallTake, guess);
  for (const scale of scales)
    for (let down = -searchSteps; down <= searchSteps; down += 1)
      for (let across = -searchSteps; across <= searchSteps; across += 1) {
        const shiftX = (across / searchSteps) * largestShift;
        const candidate = { scaleX: scale, scaleY: scale, shiftX, shiftY: (down / searchSteps) * largestShift };
        const r = correlate(smallClip, smallTake, candidate);
        if (r > bestR) [best, bestR] = [candidate, r];
      }
  return best;
}

/** Climbs to the best correlation along one value at a time. */
function refine(clip: LumaPicture, take: LumaPicture, start: Registration): Registration {
  let best = { registration: start, r: correlate(clip, take, start) };
  for (const step of refinements) {
    for (let turn = 0; turn < largestTurnCount; turn += 1) {
      const candidates = neighborsOf(best.registration, step);
      const found = candidates.map((registration) => ({ registration, r: correlate(clip, take, registration) }));
      const better = found.reduce((first, second) => (second.r > first.r ? second : first), best);
      if (better === best) break;
      best = better;
    }
  }
  return best.registration;
}

function neighborsOf(registration: Registration, step: number): readonly Registration[] {
  const keys = ['shiftX', 'shiftY', 'scaleX', 'scaleY'] as const;
  return keys.flatMap((key) => [-step, step].map((change) => ({ ...registration, [key]: registration[key] + change })));
}

function halve({ values, width, height }: LumaPicture): LumaPicture {
  const half = { width: Math.max(1, width >> 1), height: Math.max(1, height >> 1) };
  const result = new Float32Array(half.width * half.height);
  for (let y = 0; y < half.height; y += 1)
    for (let x = 0; x < half.width; x += 1) {
      const at = 2 * y * width + 2 * x;
      result[y * half.width + x] =
        ((values[at] ?? 0) + (values[at + 1] ?? 0) + (values[at + width] ?? 0) + (values[at + width + 1] ?? 0)) / 4;
    }
  return { values: result, ...half };
}

/** Pearson correlation of the clip's pixels with the corresponding pixels of the take. */
function correlate(clip: LumaPicture, take: LumaPicture, registration: Registration): number {
  let [count, sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0, 0];
  // Every second pixel of a large picture is enough.
  const step = clip.width > 2 * 80 ? 2 : 1;
  for (let y = 1; y < clip.height - 1; y += step) {
    const takeY = (registration.scaleY * ((y + 0.5) / clip.height - 0.5) + registration.shiftY + 0.5) * take.height;
    for (let x = 1; x < clip.width - 1; x += step) {
      const takeX = (registration.scaleX * ((x + 0.5) / clip.width - 0.5) + registration.shiftX + 0.5) * take.width;
      const b = interpolate(take, takeX - 0.5, takeY - 0.5);
      if (b === undefined) continue;
      const a = clip.values[y * clip.width + x] ?? 0;
      count += 1;
      sumA += a;
      sumB += b;
      sumAA += a * a;
      sumBB += b * b;
      sumAB += a * b;
    }
  }
  const spread = (sumAA - (sumA * sumA) / count) * (sumBB - (sumB * sumB) / count);
  return spread > 0 ? (sumAB - (sumA * sumB) / count) / Math.sqrt(spread) : 0;
}

function interpolate({ values, width, height }: LumaPicture, x: number, y: number): number | undefined {
  const left = Math.floor(x);
  const top = Math.floor(y);
  if (left < 0 || top < 0 || left + 1 >= width || top + 1 >= height) return undefined;
  const [right, down] = [x - left, y - top];
  const at = top * width + left;
  const upper = (values[at] ?? 0) * (1 - right) + (values[at + 1] ?? 0) * right;
  const lower = (values[at + width] ?? 0) * (1 - right) + (values[at + width + 1] ?? 0) * right;
  return upper * (1 - down) + lower * down;
}
