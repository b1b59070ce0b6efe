import type { ColorMatrix } from '../image/color-matrix.ts';
import type { Picture } from '../image/planes.ts';
import type { RegionSample, SampleRow, ValueScaling } from './face-regions.ts';
import type { YuvPicture } from './face-types.ts';

/** Positions and weights are fixed point; weights have 11 fraction bits. */
const positionBits = 16;
const fractionBits = 11;
const one = 1 << fractionBits;

/** Constants of the conversion to RGB, and of the filter. */
interface Conversion {
  /** Pixels per side of the blocks whose mean is sampled. */
  readonly block: number;
  readonly perLuma: number;
  readonly black: number;
  readonly redPerCr: number;
  readonly greenPerCb: number;
  readonly greenPerCr: number;
  readonly bluePerCb: number;
  readonly scaling: ValueScaling;
}

interface RowTarget {
  readonly planes: Float32Array;
  /** Values per plane. */
  readonly area: number;
  /** Indexes in each plane, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/**
 * Like `sampleRegion`, but straight from a YUV picture, of which only the samples are converted. Samples of a large face
 * are interpolated between the means of blocks of pixels, so that the model sees no aliases; chroma is that of the nearest
 * pixel.
 */
export function samplePlanarRegion(
  { picture, matrix }: YuvPicture,
  { region, size, scaling }: RegionSample,
  planes: Float32Array,
): void {
  const block = Math.max(1, Math.floor(region.side / size));
  const conversion = conversionOf(matrix, block, scaling);
  const step = region.side / size;
  const [stepX, stepY] = [Math.cos(region.roll) * step, Math.sin(region.roll) * step];
  const middle = (size - 1) / 2;
  // From the center of a sample to the center of the first pixel of its block.
  const toFirst = 0.5 + (block - 1) / 2;
  for (let index = 0; index < size; index += 1) {
    const x = region.centerX - toFirst - middle * stepX - (index - middle) * stepY;
    const y = region.centerY - toFirst - middle * stepY + (index - middle) * stepX;
    const row = { x, y, stepX, stepY };
    const target = { planes, area: size * size, start: index * size, end: (index + 1) * size };
    const isWithin = (at: number): boolean => isInside(picture, x + at * stepX, y + at * stepY, block);
    if (isWithin(0) && isWithin(size - 1)) sampleInnerRow(picture, row, conversion, target);
    else sampleEdgeRow(picture, row, conversion, target);
  }
}

function conversionOf(matrix: ColorMatrix, block: number, scaling: ValueScaling): Conversion {
  const { blackLuma, lumaScale, redWeight, blueWeight, greenWeight, cbScale, crScale } = matrix;
  return {
    block,
    perLuma: 1 / (lumaScale * (block * one) ** 2),
    black: blackLuma / lumaScale,
    redPerCr: 1 / crScale,
    greenPerCb: blueWeight / greenWeight / cbScale,
    greenPerCr: redWeight / greenWeight / crScale,
    bluePerCb: 1 / cbScale,
    scaling,
  };
}

/** Margin for the accumulated rounding of fixed-point steps, pixels. */
const edgeMarginPx = 1 / 64;

/** Whether the block at a position, and the pixels after it, are inside a picture. */
function isInside({ width, height }: Picture, x: number, y: number, block: number): boolean {
  const [right, bottom] = [width - block - edgeMarginPx, height - block - edgeMarginPx];
  return x >= edgeMarginPx && y >= edgeMarginPx && x < right && y < bottom;
}

/** Samples a row inside the picture. The hottest loop of an assessment besides the network. */
function sampleInnerRow(picture: Picture, row: SampleRow, conversion: Conversion, target: RowTarget): void {
  const { data, width, height } = picture;
  const { block, perLuma, black, redPerCr, greenPerCb, greenPerCr, bluePerCb } = conversion;
  const { scale, offset } = conversion.scaling;
  const { planes, area, start, end } = target;
  const chromaWidth = width >> 1;
  const cb = width * height;
  const cr = cb + chromaWidth * (height >> 1);
  const toMiddle = block << (positionBits - 1);
  const [stepX, stepY] = [toFixed(row.stepX), toFixed(row.stepY)];
  let [x, y] = [toFixed(row.x), toFixed(row.y)];
  for (let index = start; index < end; index += 1) {
    const right = (x >> (positionBits - fractionBits)) & (one - 1);
    const down = (y >> (positionBits - fractionBits)) & (one - 1);
    let pixel = (Math.imul(y >> positionBits, width) + (x >> positionBits)) | 0;
    let sum = 0;
    for (let line = 0; line <= block; line += 1) {
      let values = 0;
      for (let across = 1; across < block; across += 1) values = (values + (data[pixel + across] ?? 0)) | 0;
      const ends = Math.imul(one - right, data[pixel] ?? 0) + Math.imul(right, data[pixel + block] ?? 0);
      const weight = line === 0 ? one - down : line === block ? down : one;
      sum += weight * (Math.imul(one, values) + ends);
      pixel = (pixel + width) | 0;
    }
    const chroma =
      (Math.imul((y + toMiddle) >> (positionBits + 1), chromaWidth) + ((x + toMiddle) >> (positionBits + 1))) | 0;
    const level = sum * perLuma - black;
    const blue = (data[cb + chroma] ?? 128) - 128;
    const red = (data[cr + chroma] ?? 128) - 128;
    planes[index] = clamp(level + red * redPerCr) * scale + offset;
    planes[index + area] = clamp(level - blue * greenPerCb - red * greenPerCr) * scale + offset;
    planes[index + 2 * area] = clamp(level + blue * bluePerCb) * scale + offset;
    x = (x + stepX) | 0;
    y = (y + stepY) | 0;
  }
}

function toFixed(pixels: number): number {
  return Math.round(pixels * (1 << positionBits));
}

function clamp(level: number): number {
  return level < 0 ? 0 : level > 255 ? 255 : level;
}

/** Samples a row that lies partly or wholly outside the picture, which is black there. */
function sampleEdgeRow(picture: Picture, row: SampleRow, conversion: Conversion, target: RowTarget): void {
  const { width, height } = picture;
  const { block, scaling } = conversion;
  const { planes, area, start, end } = target;
  const inside = (position: number, length: number): number =>
    Math.min(length - block - 2 * edgeMarginPx, Math.max(edgeMarginPx, position));
  for (let index = start; index < end; index += 1) {
    const [x, y] = [row.x + (index - start) * row.stepX, row.y + (index - start) * row.stepY];
    if (x <= -block || y <= -block || x >= width || y >= height) {
      for (let color = 0; color < 3; color += 1) planes[index + color * area] = scaling.offset;
      continue;
    }
    const nearest = { x: inside(x, width), y: inside(y, height), stepX: 0, stepY: 0 };
    sampleInnerRow(picture, nearest, conversion, { planes, area, start: index, end: index + 1 });
  }
}
