import { at, clamp, medianInPlace, mix, smoothStep } from '../../../image/math.ts';
import { sampleBilinear } from '../../../image/warp-sampling.ts';
import type { Color } from './face-colors.ts';
import { createHeadPose, fitHeadPose, type HeadPose } from './head-pose.ts';
import { createLipCurves, curveSamples, readLipCurves, type LipCurves } from './lip-curves.ts';
import { isLipColored, rednessOf, refineInnerLips } from './lip-edges.ts';
import { createLayer, type InteriorLayer } from './mouth-interior.ts';
import { poseNeutral, type NeutralMouth } from './neutral-mouth.ts';
import { frontTeeth, type DonorFrame } from './teeth-donor.ts';

const columns = 129;
const rows = 65;
/** Distance to the donor's lips, softness of the lower edge, and longest tooth, relative to the mouth's width. */
const lipInset = 0.025;
const edgeSoftness = 0.012;
const longestTooth = 0.24;
/** Half of the width that is taken from the donor. Beyond it the teeth fade into the dark. */
const teethHalfWidth = 0.4;
const edgeSearchSteps = 40;
/**
 * Heights of visible teeth: up to the first all of them blur with the lip above them, from the second on only their
 * edge.
 */
const blurredTeethPx = { from: 5, to: 9 } as const;
const brightSearchSteps = 12;
const smoothingRadius = 4;

/** Height of what the donor shows below its upper teeth, relative to the mouth's width, from which it is used. */
const leastLowerHeight = 0.045;
/** Height above the lower lip at which its color must have ended, relative to the mouth's width. */
const lipProbes = { count: 9, height: 0.04 } as const;
/** Luma above that of the dark, relative to the skin, from which it counts as lower teeth or tongue. */
const leastLowerLuma = 0.18;
/** Fraction of that height in which it fades into the dark. */
const lowerFade = 0.5;
/**
 * Largest mean luma of lower teeth and tongue, relative to the skin; what is left of the light at a height above the
 * lip, relative to the mouth's width; and fraction of the lip's hue at the lip and at that height. A laugh lets more
 * light in than a speaking mouth.
 */
const lowerLight = { most: 0.6, left: 0.4, lipHue: 0.35, lipHueAbove: 0.75, height: 0.17 } as const;
/** Fraction of the opening, beginning with the darkest part, whose mean is the color of the dark. */
const darkestFraction = 0.1;

/** The interior of the mouth in a clip frame. */
export interface ExtractedInterior {
  readonly upper: InteriorLayer;
  /** Lower teeth and tongue; undefined when the frame shows too little of them. */
  readonly lower: InteriorLayer | undefined;
  readonly cavity: Color;
  readonly skinLuma: number;
}

interface DonorView {
  readonly frame: DonorFrame;
  readonly pose: HeadPose;
  readonly curves: LipCurves;
  /** Middle and seam of the neutral mouth, and its width. */
  readonly center: number;
  readonly seam: number;
  readonly width: number;
}

/**
 * Extracts the upper teeth of a donor frame relative to the skull, and lower teeth and tongue relative to the lower lip.
 * Undefined when the head model does not fit its landmarks.
 */
export function extractInterior(frame: DonorFrame, neutral: NeutralMouth): ExtractedInterior | undefined {
  const pose = createHeadPose();
  if (!fitHeadPose(neutral.template, frame.points, pose)) return undefined;
  const curves = createLipCurves();
  readLipCurves(pose, frame.points, curves);
  const rest = createLipCurves();
  poseNeutral(neutral, pose, rest);
  const { width } = neutral;
  const center = (rest.left + rest.right) / 2;
  refineInnerLips((u, v) => {
    const [x, y] = toPatch({ pose, frame, center }, u - center, v);
    const luma = sampleBilinear(frame.luma, x, y);
    return { luma, redness: rednessOf(luma, sampleBilinear(frame.cr, x / 2 - 0.25, y / 2 - 0.25)) };
  }, curves);
  const seam = at(rest.innerUpper, (curveSamples - 1) / 2);
  const view = { frame, pose, curves, center, seam, width };
  const layer = createLayer({ columns, rows, halfWidth: width * 0.5, top: width * -0.2, bottom: width * 0.2 });
  const edges = findToothEdges(view, layer);
  for (let column = 0; column < columns; column += 1) fillColumn(view, layer, column, edges[column] ?? 0);
  const cavity = measureCavity(view);
  const lower = extractLower(view, edges);
  const isLit = lower !== undefined && meanLuma(lower) - cavity.luma > leastLowerLuma * frame.skinLuma;
  if (isLit) shadeLower(lower, view);
  return { upper: layer, lower: isLit ? lower : undefined, cavity, skinLuma: frame.skinLuma };
}

/** Extracts what lies between the upper teeth, whose lower edges are `edges`, and the lower lip. */
function extractLower(view: DonorView, edges: readonly number[]): InteriorLayer | undefined {
  const { width } = view;
  const layer = createLayer({ columns, rows, halfWidth: width * 0.5, top: width * -0.02, bottom: width * 0.25 });
  const height = medianInPlace(
    windowAround(edges, columns >> 1, columns >> 3).map((edge, index) => {
      const { lower } = lipsAt(view, acrossAt(layer, (columns >> 1) - (columns >> 3) + index));
      return lower - edge;
    }),
  );
  if (height < leastLowerHeight * width || isStillLip(view)) return undefined;
  for (let column = 0; column < columns; column += 1) {
    const across = acrossAt(layer, column);
    const { lower } = lipsAt(view, across);
    const highest = Math.min(lower, (edges[column] ?? lower) + edgeSoftness * 2 * width);
    const shown = lower - highest;
    const sideAlpha = smoothStep(teethHalfWidth, teethHalfWidth - 0.15, Math.abs(across) / width);
    for (let row = 0; row < rows; row += 1) {
      const above = mix(layer.top, layer.bottom, row / (rows - 1));
      const index = row * columns + column;
      copySample(view, layer, index, [across, clamp(lower - lipInset * width - above, highest, lower)]);
      layer.alpha[index] = sideAlpha * smoothStep(shown, shown * (1 - lowerFade), above + lipInset * width);
    }
  }
  return layer;
}

/**
 * Whether what lies above the edge of the lower lip has the color of the lip. The edge then lies too low, as in a mouth
 * that shows the inner side of its lip, and what follows it is lip that fades into the dark.
 */
function isStillLip(view: DonorView): boolean {
  const { curves, center, width } = view;
  const positions = Array.from({ length: lipProbes.count }, (_, index) =>
    Math.round(mix(frontTeeth.from, frontTeeth.to, index / (lipProbes.count - 1)) * (curveSamples - 1)),
  );
  const similar = positions.filter((k) => {
    const across = mix(curves.left, curves.right, k / (curveSamples - 1)) - center;
    const lower = at(curves.innerLower, k);
    const lip = colorAt(view, across, mix(lower, at(curves.outerLower, k), 0.5));
    const above = colorAt(view, across, lower - lipProbes.height * width);
    return isLipColored(above, lip);
  });
  return similar.length > positions.length / 2;
}

/** Darkens the layer to the light of a speaking mouth, which hardly reaches the tongue. */
function shadeLower(layer: InteriorLayer, view: DonorView): void {
  const { most, left, lipHue, lipHueAbove, height } = lowerLight;
  const { curves, center } = view;
  const middle = (curveSamples - 1) / 2;
  const lip = colorAt(
    view,
    (curves.left + curves.right) / 2 - center,
    mix(at(curves.innerLower, middle), at(curves.outerLower, middle), 0.5),
  );
  const gain = Math.min(1, (most * view.frame.skinLuma) / meanLuma(layer));
  for (let row = 0; row < rows; row += 1) {
    const depth = smoothStep(0, height * view.width, mix(layer.top, layer.bottom, row / (rows - 1)));
    const hue = mix(lipHue, lipHueAbove, depth);
    for (let index = row * columns; index < (row + 1) * columns; index += 1) {
      layer.luma[index] = at(layer.luma, index) * gain * mix(1, left, depth);
      layer.cb[index] = mix(at(layer.cb, index), lip.cb, hue);
      layer.cr[index] = mix(at(layer.cr, index), lip.cr, hue);
    }
  }
}

/** Mean luma of the visible part of a layer. */
function meanLuma({ luma, alpha }: InteriorLayer): number {
  const weight = alpha.reduce((sum, value) => sum + value, 0);
  return luma.reduce((sum, value, index) => sum + value * at(alpha, index), 0) / Math.max(weight, 1);
}

/** Copies the color at a position of the face plane. */
function copySample(view: DonorView, layer: InteriorLayer, index: number, position: readonly [number, number]): void {
  const { luma, cb, cr } = colorAt(view, ...position);
  layer.luma[index] = luma;
  layer.cb[index] = cb;
  layer.cr[index] = cr;
}

function acrossAt(layer: InteriorLayer, column: number): number {
  return mix(-layer.halfWidth, layer.halfWidth, column / (columns - 1));
}

/** The donor's inner lip edges in the face plane. */
function lipsAt({ curves, center }: DonorView, across: number): { readonly upper: number; readonly lower: number } {
  const position = clamp((center + across - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  return {
    upper: mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), position - k),
    lower: mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), position - k),
  };
}

function toPatch(
  { pose, frame, center }: Pick<DonorView, 'pose' | 'frame' | 'center'>,
  across: number,
  v: number,
): readonly [x: number, y: number] {
  const u = center + across;
  return [
    pose.originX + u * pose.acrossX + v * pose.downX - frame.left,
    pose.originY + u * pose.acrossY + v * pose.downY - frame.top,
  ];
}

function lumaAt(view: DonorView, across: number, v: number): number {
  return sampleBilinear(view.frame.luma, ...toPatch(view, across, v));
}

/**
 * Lower edge of the teeth per column: the steepest downward fall of luma, after a median and a mean filter along the
 * row.
 */
function findToothEdges(view: DonorView, layer: InteriorLayer): number[] {
  const raw = Array.from({ length: columns }, (_, column) => steepestFall(view, acrossAt(layer, column)));
  return raw
    .map((_, column) => medianInPlace(windowAround(raw, column, smoothingRadius * 2)))
    .map((_, column, medians) => {
      const window = windowAround(medians, column, smoothingRadius);
      return window.reduce((sum, value) => sum + value, 0) / window.length;
    });
}

function windowAround(values: readonly number[], index: number, radius: number): number[] {
  return values.slice(Math.max(0, index - radius), index + radius + 1);
}

function steepestFall(view: DonorView, across: number): number {
  const { upper, lower } = lipsAt(view, across);
  const from = upper + lipInset * view.width;
  const to = Math.min(lower, upper + longestTooth * view.width);
  const step = (to - from) / edgeSearchSteps;
  const distance = Math.max(step, 0.02 * view.width);
  let steepest = 0;
  let edge = from;
  for (let k = 0; k <= edgeSearchSteps; k += 1) {
    const v = from + k * step;
    const fall = lumaAt(view, across, v - distance) - lumaAt(view, across, v + distance);
    if (fall <= steepest) continue;
    steepest = fall;
    edge = v;
  }
  return edge;
}

function fillColumn(view: DonorView, layer: InteriorLayer, column: number, edge: number): void {
  const across = acrossAt(layer, column);
  const { width } = view;
  const { upper } = lipsAt(view, across);
  const highest = clearOfLip(view, across, Math.min(upper + lipInset * width, edge), edge);
  const sideAlpha = smoothStep(teethHalfWidth, teethHalfWidth - 0.08, Math.abs(across) / width);
  for (let row = 0; row < rows; row += 1) {
    const v = view.seam + mix(layer.top, layer.bottom, row / (rows - 1));
    const index = row * columns + column;
    copySample(view, layer, index, [across, clamp(v, highest, edge)]);
    layer.alpha[index] = sideAlpha * smoothStep(edge + edgeSoftness * width, edge - edgeSoftness * width, v);
  }
}

/**
 * Where the teeth of a column begin to have their own color: `highest`, or in teeth of a few pixels, which blur with the
 * lip above them, their brightest part.
 */
function clearOfLip(view: DonorView, across: number, highest: number, edge: number): number {
  const { from, to } = blurredTeethPx;
  const blurred = smoothStep(to, from, (edge - highest) * view.pose.scale);
  if (blurred === 0) return highest;
  let [brightest, position] = [0, highest];
  for (let step = 0; step <= brightSearchSteps; step += 1) {
    const v = mix(highest, edge, step / brightSearchSteps);
    const luma = lumaAt(view, across, v);
    if (luma > brightest) [brightest, position] = [luma, v];
  }
  return mix(highest, position, blurred);
}

/** Mean color of the darkest part of the opening. */
function measureCavity(view: DonorView): Color {
  const samples: Color[] = [];
  for (let column = 0; column < 24; column += 1) {
    const across = view.width * mix(-0.25, 0.25, column / 23);
    const { upper, lower } = lipsAt(view, across);
    for (let row = 1; row < 24; row += 1) samples.push(colorAt(view, across, mix(upper, lower, row / 24)));
  }
  samples.sort((left, right) => left.luma - right.luma);
  const darkest = samples.slice(0, Math.ceil(samples.length * darkestFraction));
  const mean = (channel: keyof Color): number =>
    darkest.reduce((sum, color) => sum + color[channel], 0) / darkest.length;
  return { luma: mean('luma'), cb: mean('cb'), cr: mean('cr') };
}

/** The color at a position of the face plane. */
function colorAt(view: DonorView, across: number, v: number): Color {
  const { luma, cb, cr } = view.frame;
  const [x, y] = toPatch(view, across, v);
  return {
    luma: sampleBilinear(luma, x, y),
    cb: sampleBilinear(cb, x / 2 - 0.25, y / 2 - 0.25),
    cr: sampleBilinear(cr, x / 2 - 0.25, y / 2 - 0.25),
  };
}
