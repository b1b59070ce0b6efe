import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import { neutralChroma, type Color, type FaceColors } from './face-colors.ts';

/** Extent of a layer in head units and its grid size. */
export interface LayerGeometry {
  readonly columns: number;
  readonly rows: number;
  /** The layer reaches from `-halfWidth` to `halfWidth` across and from `top` to `bottom`. */
  readonly halfWidth: number;
  readonly top: number;
  readonly bottom: number;
}

/** One layer of the mouth's interior: color and alpha (0–1) on an even grid. */
export interface InteriorLayer extends LayerGeometry {
  readonly luma: Float32Array;
  readonly cb: Float32Array;
  readonly cr: Float32Array;
  readonly alpha: Float32Array;
}

/** What is visible between the lips. */
export interface MouthInterior {
  /** Upper teeth, fixed to the skull: across from the mouth's middle, down from the seam of the closed lips. */
  readonly upper: InteriorLayer;
  /** Lower teeth and tongue, fixed to the jaw: the second coordinate is the height above the edge of the lower lip. */
  readonly lower: InteriorLayer;
  /** Color of the dark behind both layers. */
  readonly cavity: Color;
  /** Skin luma of the pictures that the colors were taken from. */
  readonly skinLuma: number;
}

export function createLayer(geometry: LayerGeometry): InteriorLayer {
  const size = geometry.columns * geometry.rows;
  return {
    ...geometry,
    luma: new Float32Array(size),
    cb: new Float32Array(size),
    cr: new Float32Array(size),
    alpha: new Float32Array(size),
  };
}

const columns = 129;
const rows = 49;

/** Boundaries between teeth from the middle outwards, relative to the mouth's width. */
const toothEdges = [0, 0.15, 0.265, 0.36, 0.43, 0.48] as const;

interface ToothPosition {
  /** Distance to the nearer side of the tooth, relative to the mouth's width. */
  readonly toSide: number;
  /** Position within the tooth, −1…1. */
  readonly within: number;
}

function toothAt(across: number): ToothPosition {
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
  readonly teeth: Color;
  readonly tongue: Color;
}

/** Colors in the light of the face: teeth as bright as skin and nearly gray, a tongue like shaded lips. */
function paletteOf({ skin, lip }: FaceColors): Palette {
  return {
    teeth: {
      luma: clamp(skin.luma, 60, 200),
      cb: mix(neutralChroma, skin.cb, 0.45),
      cr: mix(neutralChroma, skin.cr, 0.5),
    },
    tongue: {
      luma: clamp(lip.luma * 0.68, 30, 130),
      cb: mix(neutralChroma, lip.cb, 0.9),
      cr: neutralChroma + Math.max(0.8 * (lip.cr - neutralChroma), 1.1 * (skin.cr - neutralChroma)),
    },
  };
}

/** A grid point of a layer. Coordinates are relative to the mouth's width. */
interface LayerPoint {
  readonly index: number;
  readonly across: number;
  readonly down: number;
}

/** Paints one point of the upper teeth. */
function paintUpper(layer: InteriorLayer, { index, across, down }: LayerPoint, { teeth }: Palette): void {
  const { toSide, within } = toothAt(across);
  const arch = (across / 0.5) ** 2;
  const edge = 0.052 - 0.03 * arch - 0.011 * within ** 4;
  const toothGap = 1 - 0.14 * Math.exp(-((toSide / 0.009) ** 2));
  const curvature = 1 - 0.62 * arch;
  const gumShade = 1 - 0.12 * smoothStep(0, -0.15, down);
  layer.luma[index] = teeth.luma * toothGap * curvature * gumShade;
  layer.cb[index] = teeth.cb;
  layer.cr[index] = teeth.cr;
  layer.alpha[index] = smoothStep(edge + 0.008, edge - 0.008, down);
}

/** Paints one point of lower teeth and tongue; `down` is the height above the lower lip. */
function paintLower(layer: InteriorLayer, { index, across, down: height }: LayerPoint, palette: Palette): void {
  const { teeth, tongue } = palette;
  const { toSide } = toothAt(across * 1.25);
  const arch = clamp((across / 0.36) ** 2, 0, 1);
  const teethTop = 0.046 - 0.036 * arch;
  const teethAlpha = smoothStep(teethTop + 0.014, teethTop - 0.014, height) * (1 - arch);
  const tongueTop = 0.16 - 0.16 * (across / 0.36) ** 2;
  const tongueLight = 1 - 0.6 * smoothStep(0.05, 0.17, height);
  const teethLuma = teeth.luma * 0.62 * (1 - 0.2 * Math.exp(-((toSide / 0.012) ** 2))) * (1 - 0.4 * arch);
  const lipShade = mix(0.88, 1, smoothStep(-0.005, 0.025, height));
  layer.luma[index] = mix(tongue.luma * tongueLight, teethLuma, teethAlpha) * lipShade;
  layer.cb[index] = mix(tongue.cb, teeth.cb, teethAlpha * 0.6);
  layer.cr[index] = mix(tongue.cr, teeth.cr, teethAlpha * 0.6);
  layer.alpha[index] = Math.max(teethAlpha, smoothStep(tongueTop + 0.04, tongueTop - 0.06, height));
}

/** Proportions of what is painted, in head units. */
export interface InteriorSize {
  readonly mouthWidth: number;
  /** Width over which the clip spreads an edge. */
  readonly edgeWidth: number;
}

/** Paints synthetic teeth, tongue and cavity in colors that match the face, as soft as its own edges. */
export function paintInterior(colors: FaceColors, { mouthWidth, edgeWidth }: InteriorSize): MouthInterior {
  const halfWidth = mouthWidth * 0.5;
  const upper = createLayer({ columns, rows, halfWidth, top: mouthWidth * -0.2, bottom: mouthWidth * 0.1 });
  const lower = createLayer({ columns, rows, halfWidth, top: mouthWidth * -0.02, bottom: mouthWidth * 0.25 });
  const palette = paletteOf(colors);
  for (let row = 0; row < rows; row += 1) {
    const upperDown = mix(upper.top, upper.bottom, row / (rows - 1)) / mouthWidth;
    const lowerHeight = mix(lower.top, lower.bottom, row / (rows - 1)) / mouthWidth;
    for (let column = 0; column < columns; column += 1) {
      const across = column / (columns - 1) - 0.5;
      const index = row * columns + column;
      paintUpper(upper, { index, across, down: upperDown }, palette);
      paintLower(lower, { index, across, down: lowerHeight }, palette);
    }
  }
  for (const layer of [upper, lower])
    blurLayer(layer, Math.sqrt(Math.max(0, edgeWidth ** 2 - paintedEdge ** 2)) * sigmaOfEdge);
  const cavity = {
    luma: 16 + 0.09 * colors.skin.luma,
    cb: mix(neutralChroma, colors.lip.cb, 0.4),
    cr: mix(neutralChroma, colors.lip.cr, 0.35),
  };
  return { upper, lower, cavity, skinLuma: colors.skin.luma };
}

/** Width of the painted edges themselves, head units. */
const paintedEdge = 0.009;
/** Standard deviation of the blur that spreads a step over an edge width of 1: 1 / √(2π). */
const sigmaOfEdge = 0.4;

/** Blurs all values of a layer with a Gaussian of standard deviation `sigma`, in head units. */
function blurLayer(layer: InteriorLayer, sigma: number): void {
  const acrossSteps = (sigma * (layer.columns - 1)) / (2 * layer.halfWidth);
  const downSteps = (sigma * (layer.rows - 1)) / (layer.bottom - layer.top);
  for (const values of [layer.luma, layer.cb, layer.cr, layer.alpha]) {
    for (let row = 0; row < layer.rows; row += 1)
      blurLine(values, { start: row * layer.columns, step: 1, count: layer.columns }, acrossSteps);
    for (let column = 0; column < layer.columns; column += 1)
      blurLine(values, { start: column, step: layer.columns, count: layer.rows }, downSteps);
  }
}

interface GridLine {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

function blurLine(values: Float32Array, { start, step, count }: GridLine, sigma: number): void {
  const radius = Math.ceil(sigma * 2.5);
  const line = Float32Array.from({ length: count }, (_, k) => at(values, start + k * step));
  for (let k = 0; k < count; k += 1) {
    let sum = 0;
    let weights = 0;
    for (let offset = -radius; offset <= radius; offset += 1) {
      const weight = Math.exp(-0.5 * (offset / Math.max(sigma, 1e-3)) ** 2);
      sum += weight * at(line, clamp(k + offset, 0, count - 1));
      weights += weight;
    }
    values[start + k * step] = sum / weights;
  }
}

/** A color with alpha, written by `sampleLayer`. */
export interface LayerSample {
  luma: number;
  cb: number;
  cr: number;
  alpha: number;
}

/** Samples a layer with bilinear interpolation. Points outside the grid take the nearest edge. */
export function sampleLayer(layer: InteriorLayer, across: number, down: number, sample: LayerSample): void {
  const x = clamp((across / layer.halfWidth + 1) / 2, 0, 1) * (layer.columns - 1);
  const y = clamp((down - layer.top) / (layer.bottom - layer.top), 0, 1) * (layer.rows - 1);
  const column = Math.min(layer.columns - 2, Math.floor(x));
  const row = Math.min(layer.rows - 2, Math.floor(y));
  const index = row * layer.columns + column;
  const fx = x - column;
  const fy = y - row;
  const stride = layer.columns;
  const bilinear = (values: Float32Array): number => {
    const top = at(values, index) + (at(values, index + 1) - at(values, index)) * fx;
    const bottom = at(values, index + stride) + (at(values, index + stride + 1) - at(values, index + stride)) * fx;
    return top + (bottom - top) * fy;
  };
  sample.luma = bilinear(layer.luma);
  sample.cb = bilinear(layer.cb);
  sample.cr = bilinear(layer.cr);
  sample.alpha = bilinear(layer.alpha);
}
