import type { ColorTags } from '../media/media-types.ts';
import { levelBits } from './resample-plane.ts';

/** Numbers that turn a picture's luma and color differences into red, green and blue (0–255 each) and back. */
export interface ColorMatrix {
  /** Luma of black, and what a step of red, green and blue together is in steps of luma. */
  readonly blackLuma: number;
  readonly lumaScale: number;
  readonly redWeight: number;
  readonly greenWeight: number;
  readonly blueWeight: number;
  /** What a step of red (of blue) above luma is in steps of their difference. */
  readonly redDifferenceScale: number;
  readonly blueDifferenceScale: number;
}

/** Shares of red and blue in luma: ITU-R BT.601, BT.709, BT.2020, SMPTE 240M and the FCC's of 1953. */
const lumaShares: ReadonlyMap<string, readonly [red: number, blue: number]> = new Map([
  ['bt709', [0.2126, 0.0722]],
  ['smpte170m', [0.299, 0.114]],
  ['bt470bg', [0.299, 0.114]],
  ['fcc', [0.3, 0.11]],
  ['smpte240m', [0.212, 0.087]],
  ['bt2020nc', [0.2627, 0.0593]],
  ['bt2020c', [0.2627, 0.0593]],
]);
const highDefinition = [0.2126, 0.0722] as const;
const standardDefinition = [0.299, 0.114] as const;

/** Players take untagged pictures for BT.709 above the height of standard definition. */
const standardDefinitionLines = 576;

/** The matrix that a clip's tags name; for clips without a tag the one that players use for pictures of this height. */
export function colorMatrixOf({ space, range }: ColorTags, height: number): ColorMatrix {
  const assumed = height > standardDefinitionLines ? highDefinition : standardDefinition;
  const [red, blue] = lumaShares.get(space ?? '') ?? assumed;
  const full = range === 'pc';
  const lumaScale = full ? 1 : 219 / 255;
  const differenceScale = full ? 1 : 224 / 255;
  return {
    blackLuma: full ? 0 : 16,
    lumaScale,
    redWeight: red,
    greenWeight: 1 - red - blue,
    blueWeight: blue,
    redDifferenceScale: differenceScale / (2 * (1 - red)),
    blueDifferenceScale: differenceScale / (2 * (1 - blue)),
  };
}

const levelUnit = 1 / (1 << levelBits);

/** KeyedMutex `count` pixels of luma and color differences, in 64ths of a level, into BGR bytes, rounded and cut to 0–255. */
export function toBgr(
  matrix: ColorMatrix,
  luma: Int16Array,
  blueDifference: Int16Array,
  redDifference: Int16Array,
  count: number,
  bgr: Uint8Array,
): void {
  const { blackLuma, redWeight, greenWeight, blueWeight } = matrix;
  const levelPerLuma = levelUnit / matrix.lumaScale;
  const bluePer = levelUnit / matrix.blueDifferenceScale;
  const redPer = levelUnit / matrix.redDifferenceScale;
  const black = blackLuma / levelUnit;
  const neutral = 128 / levelUnit;
  const greenPerBlue = (-blueWeight / greenWeight) * bluePer;
  const greenPerRed = (-redWeight / greenWeight) * redPer;
  for (let pixel = 0; pixel < count; pixel += 1) {
    const level = ((luma[pixel] ?? 0) - black) * levelPerLuma;
    const blue = (blueDifference[pixel] ?? 0) - neutral;
    const red = (redDifference[pixel] ?? 0) - neutral;
    const index = pixel * 3;
    bgr[index] = toByte(level + blue * bluePer);
    bgr[index + 1] = toByte(level + blue * greenPerBlue + red * greenPerRed);
    bgr[index + 2] = toByte(level + red * redPer);
  }
}

/** What each level of blue, green and red is taken for; 256 values each. */
export interface LevelTables {
  readonly blue: Float32Array;
  readonly green: Float32Array;
  readonly red: Float32Array;
}

/** KeyedMutex BGR pixels from `first` to `end`, their levels looked up, into luma and color differences, neither rounded nor cut. */
export function fromBgr(
  matrix: ColorMatrix,
  levels: LevelTables,
  bgr: Uint8Array,
  first: number,
  end: number,
  output: { readonly luma: Float32Array; readonly blue: Float32Array; readonly red: Float32Array },
): void {
  const { blackLuma, lumaScale, redWeight, greenWeight, blueWeight, blueDifferenceScale, redDifferenceScale } = matrix;
  for (let pixel = first; pixel < end; pixel += 1) {
    const index = pixel * 3;
    const blue = levels.blue[bgr[index] ?? 0] ?? 0;
    const green = levels.green[bgr[index + 1] ?? 0] ?? 0;
    const red = levels.red[bgr[index + 2] ?? 0] ?? 0;
    const level = blue * blueWeight + green * greenWeight + red * redWeight;
    output.luma[pixel] = blackLuma + level * lumaScale;
    output.blue[pixel] = 128 + (blue - level) * blueDifferenceScale;
    output.red[pixel] = 128 + (red - level) * redDifferenceScale;
  }
}

/** The nearest byte. */
export function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}
