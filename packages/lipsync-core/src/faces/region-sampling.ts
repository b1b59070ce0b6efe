import type { FaceRegion } from './face-types.ts';

/** An RGB picture, 8 bit, `width × height × 3` bytes, rows from the top. */
export interface RgbPicture {
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** How bytes become model input: `byte × scale + offset`. */
export interface SampleRange {
  readonly scale: number;
  readonly offset: number;
}

/** What a turned square of the picture looks like from upright: `size × size` samples of its three planes. */
export interface RegionSample {
  readonly region: FaceRegion;
  readonly size: number;
  readonly range: SampleRange;
}

const black = 0;

/**
 * Fills `planes` (`3 × size × size`, red plane first) with the region, turned upright, bilinearly interpolated between
 * pixel centres. Where the region is more than half again as large as the sample, each sample is the mean of several, so
 * that nothing aliases. Outside the picture is black.
 */
export function sampleRegion(picture: RgbPicture, { region, size, range }: RegionSample, planes: Float32Array): void {
  const step = region.side / size;
  const taps = Math.max(1, Math.round(step));
  const cosine = Math.cos(region.roll) * (step / taps);
  const sine = Math.sin(region.roll) * (step / taps);
  const across = (size * taps - 1) / 2;
  const plane = size * size;
  const gain = range.scale / (taps * taps);
  const colour = new Float32Array(3);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      colour.fill(black);
      for (let tap = 0; tap < taps * taps; tap += 1) {
        const u = column * taps + (tap % taps) - across;
        const v = row * taps + Math.floor(tap / taps) - across;
        addSample(picture, region.centreX + u * cosine - v * sine - 0.5, region.centreY + u * sine + v * cosine - 0.5, colour);
      }
      const index = row * size + column;
      planes[index] = (colour[0] ?? 0) * gain + range.offset;
      planes[index + plane] = (colour[1] ?? 0) * gain + range.offset;
      planes[index + 2 * plane] = (colour[2] ?? 0) * gain + range.offset;
    }
  }
}

/** Adds the picture's colour at (x, y), in units where whole numbers are pixel centres. */
function addSample({ rgb, width, height }: RgbPicture, x: number, y: number, colour: Float32Array): void {
  const left = Math.floor(x);
  const top = Math.floor(y);
  if (left < -1 || top < -1 || left >= width || top >= height) return;
  const right = x - left;
  const below = y - top;
  const x0 = left < 0 ? 0 : left;
  const x1 = left + 1 >= width ? width - 1 : left + 1;
  const y0 = (top < 0 ? 0 : top) * width;
  const y1 = (top + 1 >= height ? height - 1 : top + 1) * width;
  const a = (1 - right) * (1 - below);
  const b = right * (1 - below);
  const c = (1 - right) * below;
  const d = right * below;
  const i = (y0 + x0) * 3;
  const j = (y0 + x1) * 3;
  const k = (y1 + x0) * 3;
  const l = (y1 + x1) * 3;
  for (let channel = 0; channel < 3; channel += 1) {
    const value =
      a * (rgb[i + channel] ?? 0) + b * (rgb[j + channel] ?? 0) + c * (rgb[k + channel] ?? 0) + d * (rgb[l + channel] ?? 0);
    colour[channel] = (colour[channel] ?? 0) + value;
  }
}

/** Where a point of the sample (in its pixels, from its top left corner) lies in the picture. */
export function toPicture(region: FaceRegion, size: number, x: number, y: number): readonly [number, number] {
  const step = region.side / size;
  const u = (x - size / 2) * step;
  const v = (y - size / 2) * step;
  const cosine = Math.cos(region.roll);
  const sine = Math.sin(region.roll);
  return [region.centreX + u * cosine - v * sine, region.centreY + u * sine + v * cosine];
}
