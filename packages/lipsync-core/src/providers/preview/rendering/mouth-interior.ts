import type { FaceTones } from './face-tones.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';

/**
 * One layer of what is seen between the lips: color and cover (0–1) on an even grid. Coordinates are head units,
 * from `-halfWidth` to `halfWidth` across and from `top` to `bottom`.
 */
export interface InteriorLayer {
  readonly columns: number;
  readonly rows: number;
  readonly halfWidth: number;
  readonly top: number;
  readonly bottom: number;
  readonly luma: Float32Array;
  readonly blue: Float32Array;
  readonly red: Float32Array;
  readonly cover: Float32Array;
}

/**
 * The inside of a mouth. `upper` holds still with the skull: across from the mouth's middle, down from where the closed lips meet.
 * `lower` moves with the jaw: its second coordinate is the height above the lower lip's edge.
 */
export interface MouthInterior {
  readonly upper: InteriorLayer;
  readonly lower: InteriorLayer;
  readonly cavity: { readonly luma: number; readonly blue: number; readonly red: number };
  /** Skin brightness of the pictures that the colors belong to. */
  readonly skinLuma: number;
}

export function createLayer(
  columns: number,
  rows: number,
  halfWidth: number,
  top: number,
  bottom: number,
): InteriorLayer {
  const size = columns * rows;
  return {
    columns,
    rows,
    halfWidth,
    top,
    bottom,
    luma: new Float32Array(size),
    blue: new Float32Array(size),
    red: new Float32Array(size),
    cover: new Float32Array(size),
  };
}

const columns = 129;
const rows = 49;

/** Where one tooth ends and the next begins, from the middle outwards, as shares of the mouth's width. */
const toothEdges = [0, 0.15, 0.265, 0.36, 0.43, 0.48] as const;

interface ToothPlace {
  /** Distance to the nearer side of the tooth, as a share of the mouth's width. */
  readonly toSide: number;
  /** Position within the tooth, −1…1. */
  readonly within: number;
}

function toothAt(across: number): ToothPlace {
  const outwards = Math.abs(across);
  let tooth = 0;
  while (tooth < toothEdges.length - 2 && outwards > (toothEdges[tooth + 1] ?? 1)) tooth += 1;
  const inner = toothEdges[tooth] ?? 0;
  const outer = toothEdges[tooth + 1] ?? 1;
  return {
    toSide: Math.min(Math.abs(outwards - inner), Math.abs(outer - outwards)),
    within: clamp((2 * (outwards - inner)) / (outer - inner) - 1, -1, 1),
  };
}

interface Palette {
  readonly teeth: number;
  readonly teethBlue: number;
  readonly teethRed: number;
  readonly tongue: number;
  readonly tongueBlue: number;
  readonly tongueRed: number;
}

const neutralChroma = 128;

/** Colors that go with the face's own light: teeth a little brighter than skin and nearly gray, tongue like the lips in shade. */
function paletteOf(tones: FaceTones): Palette {
  return {
    teeth: clamp(tones.skin.luma, 60, 200),
    teethBlue: mix(neutralChroma, tones.skin.blue, 0.45),
    teethRed: mix(neutralChroma, tones.skin.red, 0.5),
    tongue: clamp(tones.lip.luma * 0.62, 30, 130),
    tongueBlue: mix(neutralChroma, tones.lip.blue, 0.9),
    tongueRed: mix(neutralChroma, tones.lip.red, 0.8),
  };
}

/** Paints one point of the upper row of teeth; `across` and `down` are shares of the mouth's width. */
function paintUpper(layer: InteriorLayer, index: number, across: number, down: number, palette: Palette): void {
  const { toSide, within } = toothAt(across);
  const arch = (across / 0.5) ** 2;
  const edge = 0.052 - 0.03 * arch - 0.011 * within ** 4;
  const gapLine = 1 - 0.2 * Math.exp(-((toSide / 0.009) ** 2));
  const roundness = 1 - 0.62 * arch;
  const towardsGum = 1 - 0.12 * smoothStep(0, -0.15, down);
  layer.luma[index] = palette.teeth * gapLine * roundness * towardsGum;
  layer.blue[index] = palette.teethBlue;
  layer.red[index] = palette.teethRed;
  layer.cover[index] = smoothStep(edge + 0.008, edge - 0.008, down);
}

/** Paints one point of lower teeth and tongue; `height` above the lower lip is a share of the mouth's width. */
function paintLower(layer: InteriorLayer, index: number, across: number, height: number, palette: Palette): void {
  const { toSide } = toothAt(across * 1.25);
  const arch = clamp((across / 0.36) ** 2, 0, 1);
  const teethTop = 0.034 - 0.03 * arch;
  const isTeeth = smoothStep(teethTop + 0.014, teethTop - 0.014, height) * (1 - arch);
  const tongueTop = 0.16 - 0.16 * (across / 0.36) ** 2;
  const tongueLight = 1 - 0.5 * smoothStep(0.03, 0.15, height);
  const teethLight = palette.teeth * 0.5 * (1 - 0.2 * Math.exp(-((toSide / 0.012) ** 2))) * (1 - 0.4 * arch);
  const lipShade = mix(0.88, 1, smoothStep(-0.005, 0.025, height));
  layer.luma[index] = mix(palette.tongue * tongueLight, teethLight, isTeeth) * lipShade;
  layer.blue[index] = mix(palette.tongueBlue, palette.teethBlue, isTeeth * 0.6);
  layer.red[index] = mix(palette.tongueRed, palette.teethRed, isTeeth * 0.6);
  layer.cover[index] = Math.max(isTeeth, smoothStep(tongueTop + 0.04, tongueTop - 0.06, height));
}

/** Paints teeth, tongue and the dark behind them in colors taken from the face. `mouthWidth` in head units. */
export function paintInterior(tones: FaceTones, mouthWidth: number): MouthInterior {
  const upper = createLayer(columns, rows, mouthWidth * 0.5, mouthWidth * -0.2, mouthWidth * 0.1);
  const lower = createLayer(columns, rows, mouthWidth * 0.5, mouthWidth * -0.02, mouthWidth * 0.25);
  const palette = paletteOf(tones);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const across = column / (columns - 1) - 0.5;
      const index = row * columns + column;
      paintUpper(upper, index, across, mix(upper.top, upper.bottom, row / (rows - 1)) / mouthWidth, palette);
      paintLower(lower, index, across, mix(lower.top, lower.bottom, row / (rows - 1)) / mouthWidth, palette);
    }
  }
  const cavity = {
    luma: 16 + 0.09 * tones.skin.luma,
    blue: mix(neutralChroma, tones.lip.blue, 0.4),
    red: mix(neutralChroma, tones.lip.red, 0.35),
  };
  return { upper, lower, cavity, skinLuma: tones.skin.luma };
}

/** A color with cover, written by `sampleLayer`. */
export interface LayerSample {
  luma: number;
  blue: number;
  red: number;
  cover: number;
}

/** Reads a layer between its grid points; outside the grid the nearest point counts. */
export function sampleLayer(layer: InteriorLayer, across: number, down: number, sample: LayerSample): void {
  const x = clamp((across / layer.halfWidth + 1) / 2, 0, 1) * (layer.columns - 1);
  const y = clamp((down - layer.top) / (layer.bottom - layer.top), 0, 1) * (layer.rows - 1);
  const column = Math.min(layer.columns - 2, Math.floor(x));
  const row = Math.min(layer.rows - 2, Math.floor(y));
  const fx = x - column;
  const fy = y - row;
  const index = row * layer.columns + column;
  sample.luma = between(layer.luma, index, layer.columns, fx, fy);
  sample.blue = between(layer.blue, index, layer.columns, fx, fy);
  sample.red = between(layer.red, index, layer.columns, fx, fy);
  sample.cover = between(layer.cover, index, layer.columns, fx, fy);
}

function between(values: Float32Array, index: number, stride: number, fx: number, fy: number): number {
  const top = at(values, index) + (at(values, index + 1) - at(values, index)) * fx;
  const bottom = at(values, index + stride) + (at(values, index + stride + 1) - at(values, index + stride)) * fx;
  return top + (bottom - top) * fy;
}
