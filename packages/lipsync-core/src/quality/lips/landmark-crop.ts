import { colorMatrixOf, type ColorMatrix } from '../../image/color-matrix.ts';
import { angleDifference, decomposePose } from '../../face/face-pose.ts';
import { regionOfMesh, type RgbPicture } from '../../face/face-regions.ts';
import type { FaceRegion, FaceTrack } from '../../face/face-types.ts';
import type { ColorTags, Picture } from '../../media/index.ts';

/** Position of the crop of the landmark model relative to the rigid points of a face, in units of their size. */
interface CropPlacement {
  readonly across: number;
  readonly down: number;
  readonly side: number;
  readonly roll: number;
}

/** Frames that are measured for the placement of a shot. */
const placementFrames = 60;

/**
 * Places the crop of the landmark model at the same position relative to the face in every frame of a shot, because the
 * measured opening of a mouth changes by up to a third with its position in the crop. A crop around all landmarks would
 * move with the chin, and so with the speech of the source.
 */
export class FixedCrop {
  readonly #track: FaceTrack;
  readonly #placements = new Map<number, CropPlacement | undefined>();

  constructor(track: FaceTrack) {
    this.#track = track;
  }

  /** The crop in a frame of the track, in pixels of its clip; undefined without a face. */
  at(frame: number): FaceRegion | undefined {
    const { points } = this.#track.frame(frame);
    return points.length === 0 ? undefined : this.around(points, frame);
  }

  /** The crop for landmarks that were measured in a frame of the track; pixels of the landmarks. */
  around(points: Float32Array, frame: number): FaceRegion | undefined {
    const shot = this.#track.shotStarts.findLastIndex((start) => start <= frame);
    if (!this.#placements.has(shot)) this.#placements.set(shot, this.#measureShot(shot));
    const placement = this.#placements.get(shot);
    return placement && placeCrop(points, placement);
  }

  #measureShot(shot: number): CropPlacement | undefined {
    const start = this.#track.shotStarts[shot] ?? 0;
    const end = this.#track.shotStarts[shot + 1] ?? this.#track.frameCount;
    const step = Math.max(1, Math.floor((end - start) / placementFrames));
    const seen: CropPlacement[] = [];
    for (let frame = start; frame < end; frame += step) {
      const { points } = this.#track.frame(frame);
      if (points.length > 0) seen.push(describePlacement(points));
    }
    if (seen.length === 0) return undefined;
    return {
      across: medianOf(seen.map(({ across }) => across)),
      down: medianOf(seen.map(({ down }) => down)),
      side: medianOf(seen.map(({ side }) => side)),
      roll: medianOf(seen.map(({ roll }) => roll)),
    };
  }
}

function describePlacement(points: Float32Array): CropPlacement {
  const { x, y, logSize, roll } = decomposePose(points);
  const region = regionOfMesh(points);
  const size = Math.exp(logSize);
  const [dx, dy] = [region.centerX - x, region.centerY - y];
  return {
    across: (dx * Math.cos(roll) + dy * Math.sin(roll)) / size,
    down: (dy * Math.cos(roll) - dx * Math.sin(roll)) / size,
    side: region.side / size,
    roll: angleDifference(region.roll, roll),
  };
}

function placeCrop(points: Float32Array, { across, down, side, roll: turn }: CropPlacement): FaceRegion {
  const { x, y, logSize, roll } = decomposePose(points);
  const size = Math.exp(logSize);
  return {
    centerX: x + size * (across * Math.cos(roll) - down * Math.sin(roll)),
    centerY: y + size * (across * Math.sin(roll) + down * Math.cos(roll)),
    side: side * size,
    roll: roll + turn,
  };
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** A part of a picture in RGB, shrunk by a whole factor, with the region that it was cut out for. */
export interface CroppedFace extends RgbPicture {
  readonly region: FaceRegion;
  /** Upper left corner in the picture, and pixels of the picture per pixel of the crop. */
  readonly left: number;
  readonly top: number;
  readonly factor: number;
}

/** Input size of the landmark model. */
const modelSize = 192;

/** Cuts a region out of a picture. Averages pixels of a large face, so that the model does not see aliases. */
export function cropFace(picture: Picture, region: FaceRegion, color: ColorTags): CroppedFace {
  const factor = Math.max(1, Math.floor(region.side / modelSize));
  const half = (region.side / 2) * (Math.abs(Math.cos(region.roll)) + Math.abs(Math.sin(region.roll))) + 2 * factor;
  const left = Math.max(0, Math.floor(region.centerX - half));
  const top = Math.max(0, Math.floor(region.centerY - half));
  const width = Math.max(1, Math.floor((Math.min(picture.width, Math.ceil(region.centerX + half)) - left) / factor));
  const height = Math.max(1, Math.floor((Math.min(picture.height, Math.ceil(region.centerY + half)) - top) / factor));
  const rgb = new Uint8Array(width * height * 3);
  convert(picture, colorMatrixOf(color, picture.height), { rgb, left, top, width, height, factor });
  const mapped = {
    centerX: (region.centerX - left) / factor,
    centerY: (region.centerY - top) / factor,
    side: region.side / factor,
    roll: region.roll,
  };
  return { rgb, width, height, region: mapped, left, top, factor };
}

interface CropTarget extends RgbPicture {
  readonly left: number;
  readonly top: number;
  readonly factor: number;
}

/** Constants of a conversion to RGB. */
interface Conversion {
  readonly gain: number;
  readonly black: number;
  readonly redPerCr: number;
  readonly greenPerCb: number;
  readonly greenPerCr: number;
  readonly bluePerCb: number;
}

function convert(picture: Picture, matrix: ColorMatrix, target: CropTarget): void {
  const { blackLuma, lumaScale, redWeight, blueWeight, greenWeight, cbScale, crScale } = matrix;
  const { rgb, width, height, factor } = target;
  // Rounds and clamps.
  const clamped = new Uint8ClampedArray(rgb.buffer);
  const luma = new Uint16Array(width);
  const conversion = {
    gain: 1 / (lumaScale * factor * factor),
    black: blackLuma / lumaScale,
    redPerCr: 1 / crScale,
    greenPerCb: blueWeight / greenWeight / cbScale,
    greenPerCr: redWeight / greenWeight / crScale,
    bluePerCb: 1 / cbScale,
  };
  for (let row = 0; row < height; row += 1) {
    sumLuma(picture, target, row, luma);
    convertRow(picture, target, row, { clamped, luma, conversion });
  }
}

/** Adds up the luma of the pixels that each pixel of a row of the crop covers. */
function sumLuma({ data, width: stride }: Picture, target: CropTarget, row: number, luma: Uint16Array): void {
  const { left, top, factor } = target;
  if (factor === 1) {
    const start = (top + row) * stride + left;
    luma.set(data.subarray(start, start + luma.length));
    return;
  }
  luma.fill(0);
  for (let down = 0; down < factor; down += 1) {
    let from = (top + row * factor + down) * stride + left;
    for (let column = 0; column < luma.length; column += 1) {
      let sum = luma[column] ?? 0;
      for (let across = 0; across < factor; across += 1) sum += data[from + across] ?? 0;
      luma[column] = sum;
      from += factor;
    }
  }
}

function convertRow(
  picture: Picture,
  { left, top, width, factor }: CropTarget,
  row: number,
  buffers: { readonly clamped: Uint8ClampedArray; readonly luma: Uint16Array; readonly conversion: Conversion },
): void {
  const { data } = picture;
  const { clamped, luma } = buffers;
  const { gain, black, redPerCr, greenPerCb, greenPerCr, bluePerCb } = buffers.conversion;
  const middle = factor >> 1;
  const chromaWidth = picture.width >> 1;
  const cb = picture.width * picture.height + ((top + row * factor + middle) >> 1) * chromaWidth;
  const cr = cb + chromaWidth * (picture.height >> 1);
  let target = row * width * 3;
  for (let column = 0; column < width; column += 1) {
    const x = (left + column * factor + middle) >> 1;
    const level = (luma[column] ?? 0) * gain - black;
    const blue = (data[cb + x] ?? 128) - 128;
    const red = (data[cr + x] ?? 128) - 128;
    clamped[target] = level + red * redPerCr;
    clamped[target + 1] = level - blue * greenPerCb - red * greenPerCr;
    clamped[target + 2] = level + blue * bluePerCb;
    target += 3;
  }
}
