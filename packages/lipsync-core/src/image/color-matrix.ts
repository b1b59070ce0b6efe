import { valueFractionBits } from './affine-resampler.ts';
import { toByte } from './math.ts';
import type { ColorTags } from './planes.ts';

/** Coefficients for the conversion between Y'CbCr and R'G'B' (0–255 each). */
export interface ColorMatrix {
  /** Luma of black, and luma steps per step of gray. */
  readonly blackLuma: number;
  readonly lumaScale: number;
  readonly redWeight: number;
  readonly greenWeight: number;
  readonly blueWeight: number;
  /** Steps of Cr per step of (red − luma), and of Cb per step of (blue − luma). */
  readonly crScale: number;
  readonly cbScale: number;
}

/**
 * Luma coefficients Kr and Kb of ITU-R BT.601, BT.709, BT.2020, SMPTE 240M and FCC 1953, by ffmpeg's color space names.
 */
const lumaCoefficients: ReadonlyMap<string, readonly [red: number, blue: number]> = new Map([
  ['bt709', [0.2126, 0.0722]],
  ['smpte170m', [0.299, 0.114]],
  ['bt470bg', [0.299, 0.114]],
  ['fcc', [0.3, 0.11]],
  ['smpte240m', [0.212, 0.087]],
  ['bt2020nc', [0.2627, 0.0593]],
  ['bt2020c', [0.2627, 0.0593]],
]);

/** Luma of an R'G'B' color by BT.601, for comparing pictures; not for converting them. */
export function lumaOf(red: number, green: number, blue: number): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** Players assume BT.601 for untagged pictures up to this height, BT.709 above. */
const standardDefinitionLines = 576;

/** The color space by ffmpeg's name of pictures with these tags and this height. */
export function colorSpaceOf({ space = '' }: Pick<ColorTags, 'space'>, height: number): string {
  if (lumaCoefficients.has(space)) return space;
  return height > standardDefinitionLines ? 'bt709' : 'smpte170m';
}

/**
 * The matrix for a clip's color tags. Missing and unknown tags select the matrix that players assume for this height.
 */
export function colorMatrixOf(color: ColorTags, height: number): ColorMatrix {
  const [red, blue] = lumaCoefficients.get(colorSpaceOf(color, height)) ?? [NaN, NaN];
  const isFullRange = color.range === 'pc';
  const chromaScale = isFullRange ? 1 : 224 / 255;
  return {
    blackLuma: isFullRange ? 0 : 16,
    lumaScale: isFullRange ? 1 : 219 / 255,
    redWeight: red,
    greenWeight: 1 - red - blue,
    blueWeight: blue,
    crScale: chromaScale / (2 * (1 - red)),
    cbScale: chromaScale / (2 * (1 - blue)),
  };
}

const valueUnit = 1 / (1 << valueFractionBits);

/** Three planes of the same size. */
export interface YcbcrPlanes<Values> {
  readonly luma: Values;
  readonly cb: Values;
  readonly cr: Values;
}

/** Converts `count` pixels with `valueFractionBits` fraction bits to BGR bytes, rounded and clamped. */
export function toBgr(matrix: ColorMatrix, planes: YcbcrPlanes<Int16Array>, count: number, bgr: Uint8Array): void {
  const { blackLuma, redWeight, greenWeight, blueWeight } = matrix;
  const { luma, cb, cr } = planes;
  const levelPerLuma = valueUnit / matrix.lumaScale;
  const bluePerCb = valueUnit / matrix.cbScale;
  const redPerCr = valueUnit / matrix.crScale;
  const black = blackLuma / valueUnit;
  const neutral = 128 / valueUnit;
  const greenPerCb = (-blueWeight / greenWeight) * bluePerCb;
  const greenPerCr = (-redWeight / greenWeight) * redPerCr;
  for (let pixel = 0; pixel < count; pixel += 1) {
    const level = ((luma[pixel] ?? 0) - black) * levelPerLuma;
    const blue = (cb[pixel] ?? 0) - neutral;
    const red = (cr[pixel] ?? 0) - neutral;
    const index = pixel * 3;
    bgr[index] = toByte(level + blue * bluePerCb);
    bgr[index + 1] = toByte(level + blue * greenPerCb + red * greenPerCr);
    bgr[index + 2] = toByte(level + red * redPerCr);
  }
}

/** Lookup tables of 256 output levels per color channel. */
export interface LevelTables {
  readonly blue: Float32Array;
  readonly green: Float32Array;
  readonly red: Float32Array;
}

/** BGR pixels from `first` to `end` (exclusive), and the lookup tables that are applied to them. */
export interface BgrPixels {
  readonly bgr: Uint8Array;
  readonly levels: LevelTables;
  readonly first: number;
  readonly end: number;
}

/** Applies the lookup tables to BGR pixels and converts them to Y'CbCr, neither rounded nor clamped. */
export function fromBgr(
  matrix: ColorMatrix,
  { bgr, levels, first, end }: BgrPixels,
  output: YcbcrPlanes<Float32Array>,
): void {
  const { blackLuma, lumaScale, redWeight, greenWeight, blueWeight, cbScale, crScale } = matrix;
  for (let pixel = first; pixel < end; pixel += 1) {
    const index = pixel * 3;
    const blue = levels.blue[bgr[index] ?? 0] ?? 0;
    const green = levels.green[bgr[index + 1] ?? 0] ?? 0;
    const red = levels.red[bgr[index + 2] ?? 0] ?? 0;
    const level = blue * blueWeight + green * greenWeight + red * redWeight;
    output.luma[pixel] = blackLuma + level * lumaScale;
    output.cb[pixel] = 128 + (blue - level) * cbScale;
    output.cr[pixel] = 128 + (red - level) * crScale;
  }
}
