import type { ColorMatrix } from '../../image/color-matrix.ts';
import { toByte } from '../../image/math.ts';
import { planesOf, type Picture, type Plane } from '../../image/planes.ts';
import type { RgbImage } from './png.ts';

/** An upright rectangle of a picture, in its pixels; it may reach beyond the edges. */
export interface CropArea {
  readonly centerX: number;
  readonly centerY: number;
  readonly width: number;
}

/** Samples per output pixel and direction when a crop is reduced. */
const maxSamples = 4;

/** Cuts an area out of a picture and scales it to a size, whose aspect ratio the area takes. Edge pixels are repeated. */
export function cropPicture(
  picture: Picture,
  matrix: ColorMatrix,
  area: CropArea,
  size: { readonly width: number; readonly height: number },
): RgbImage {
  const { luma, cb, cr } = planesOf(picture);
  const step = area.width / size.width;
  const left = area.centerX - area.width / 2;
  const top = area.centerY - (step * size.height) / 2;
  const samples = Math.min(maxSamples, Math.max(1, Math.round(step)));
  const rgb = new Uint8Array(size.width * size.height * 3);
  for (let row = 0; row < size.height; row += 1) {
    for (let column = 0; column < size.width; column += 1) {
      let level = 0;
      for (let sample = 0; sample < samples * samples; sample += 1) {
        const x = left + step * (column + ((sample % samples) + 0.5) / samples);
        const y = top + step * (row + (Math.floor(sample / samples) + 0.5) / samples);
        level += interpolate(luma, x - 0.5, y - 0.5);
      }
      const [x, y] = [left + step * (column + 0.5), top + step * (row + 0.5)];
      const chroma = { cb: interpolate(cb, x / 2 - 0.5, y / 2 - 0.5), cr: interpolate(cr, x / 2 - 0.5, y / 2 - 0.5) };
      writePixel(rgb, (row * size.width + column) * 3, { ...chroma, luma: level / (samples * samples) }, matrix);
    }
  }
  return { ...size, rgb };
}

function writePixel(
  rgb: Uint8Array,
  index: number,
  { luma, cb, cr }: { readonly luma: number; readonly cb: number; readonly cr: number },
  matrix: ColorMatrix,
): void {
  const level = (luma - matrix.blackLuma) / matrix.lumaScale;
  const blue = (cb - 128) / matrix.cbScale;
  const red = (cr - 128) / matrix.crScale;
  const green = -(matrix.blueWeight * blue + matrix.redWeight * red) / matrix.greenWeight;
  rgb[index] = toByte(level + red);
  rgb[index + 1] = toByte(level + green);
  rgb[index + 2] = toByte(level + blue);
}

/** The value between samples; the nearest one outside of the plane. */
function interpolate({ data, start, width, height }: Plane, x: number, y: number): number {
  const insideX = Math.min(Math.max(x, 0), width - 1);
  const insideY = Math.min(Math.max(y, 0), height - 1);
  const [column, row] = [Math.floor(insideX), Math.floor(insideY)];
  const [right, down] = [insideX - column, insideY - row];
  const at = (dx: number, dy: number): number =>
    data[start + Math.min(row + dy, height - 1) * width + Math.min(column + dx, width - 1)] ?? 0;
  return (at(0, 0) * (1 - right) + at(1, 0) * right) * (1 - down) + (at(0, 1) * (1 - right) + at(1, 1) * right) * down;
}
