import type { DonorFrame } from './donor-search.ts';
import { createHeadPose, fitHeadPose, type HeadPose } from './head-pose.ts';
import { createLipCurves, curveSamples, readLipCurves, type LipCurves } from './lip-curves.ts';
import { createLayer, type InteriorLayer } from './mouth-interior.ts';
import type { NeutralMouth } from './mouth-reference.ts';
import { poseNeutral } from './mouth-target.ts';
import { at, clamp, medianInPlace, mix, smoothStep } from '../../../image/math.ts';
import { sampleBilinear } from '../../../image/warp-sampling.ts';

const columns = 129;
const rows = 65;
/** Distance kept from the donor's lips, and softness of the teeth's lower edge, as shares of the mouth's width. */
const lipInset = 0.025;
const edgeSoftness = 0.012;
/** Longest visible tooth, as a share of the mouth's width. */
const longestTooth = 0.24;
/** Half of the width in which teeth are taken from the donor; beyond it they sink into the dark. */
const teethHalfWidth = 0.4;
const edgeSearchSteps = 40;
const smoothingRadius = 4;

/** Upper teeth lifted out of a frame of the clip. */
interface DonorTeeth {
  readonly layer: InteriorLayer;
  /** Darkest level behind the teeth. */
  readonly cavityLuma: number;
  readonly skinLuma: number;
}

interface DonorView {
  readonly frame: DonorFrame;
  readonly pose: HeadPose;
  readonly curves: LipCurves;
  readonly center: number;
  readonly seam: number;
  readonly width: number;
}

/** Lifts the upper teeth out of the donor frame, in the skull's own place. Undefined where the frame's landmarks fit no head. */
export function liftTeeth(frame: DonorFrame, neutral: NeutralMouth): DonorTeeth | undefined {
  const pose = createHeadPose();
  if (!fitHeadPose(neutral.template, frame.points, pose)) return undefined;
  const curves = createLipCurves();
  readLipCurves(pose, frame.points, curves);
  const rest = createLipCurves();
  poseNeutral(neutral, pose, rest);
  const seam = at(rest.innerUpper, (curveSamples - 1) / 2);
  const view = { frame, pose, curves, center: (rest.left + rest.right) / 2, seam, width: neutral.width };
  const layer = createLayer(columns, rows, neutral.width * 0.5, neutral.width * -0.2, neutral.width * 0.2);
  const edges = toothEdges(view, layer);
  for (let column = 0; column < columns; column += 1) liftColumn(view, layer, column, edges[column] ?? 0);
  return { layer, cavityLuma: darkest(view), skinLuma: frame.skinLuma };
}

function acrossAt(layer: InteriorLayer, column: number): number {
  return mix(-layer.halfWidth, layer.halfWidth, column / (columns - 1));
}

/** The donor's inner lip edges at a place across, in the picture plane. */
function lipsAt(view: DonorView, across: number): { readonly upper: number; readonly lower: number } {
  const { curves } = view;
  const position =
    clamp((view.center + across - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  return {
    upper: mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), position - k),
    lower: mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), position - k),
  };
}

function patchPlace({ pose, frame, center }: DonorView, across: number, v: number): readonly [number, number] {
  const u = center + across;
  return [
    pose.originX + u * pose.acrossX + v * pose.downX - frame.left,
    pose.originY + u * pose.acrossY + v * pose.downY - frame.top,
  ];
}

function lumaAt(view: DonorView, across: number, v: number): number {
  return sampleBilinear(view.frame.luma, ...patchPlace(view, across, v));
}

/** Lower edge of the teeth at each column: where brightness falls most steeply going down; smoothed sideways. */
function toothEdges(view: DonorView, layer: InteriorLayer): number[] {
  const raw = Array.from({ length: columns }, (_, column) => {
    const across = acrossAt(layer, column);
    const { upper, lower } = lipsAt(view, across);
    const from = upper + lipInset * view.width;
    const to = Math.min(lower, upper + longestTooth * view.width);
    const step = (to - from) / edgeSearchSteps;
    const reach = Math.max(step, 0.02 * view.width);
    let steepest = 0;
    let edge = from;
    for (let k = 0; k <= edgeSearchSteps; k += 1) {
      const v = from + k * step;
      const fall = lumaAt(view, across, v - reach) - lumaAt(view, across, v + reach);
      if (fall > steepest) {
        steepest = fall;
        edge = v;
      }
    }
    return edge;
  });
  return raw
    .map((_, column) => {
      const near = raw.slice(Math.max(0, column - smoothingRadius * 2), column + smoothingRadius * 2 + 1);
      return medianInPlace(near);
    })
    .map((_, column, medians) => {
      const near = medians.slice(Math.max(0, column - smoothingRadius), column + smoothingRadius + 1);
      return near.reduce((sum, value) => sum + value, 0) / near.length;
    });
}

function liftColumn(view: DonorView, layer: InteriorLayer, column: number, edge: number): void {
  const across = acrossAt(layer, column);
  const { width, frame } = view;
  const { upper } = lipsAt(view, across);
  const highest = Math.min(upper + lipInset * width, edge);
  const sideCover = smoothStep(teethHalfWidth, teethHalfWidth - 0.08, Math.abs(across) / width);
  for (let row = 0; row < rows; row += 1) {
    const v = view.seam + mix(layer.top, layer.bottom, row / (rows - 1));
    const [x, y] = patchPlace(view, across, clamp(v, highest, edge));
    const index = row * columns + column;
    layer.luma[index] = sampleBilinear(frame.luma, x, y);
    layer.blue[index] = sampleBilinear(frame.blue, x / 2 - 0.25, y / 2 - 0.25);
    layer.red[index] = sampleBilinear(frame.red, x / 2 - 0.25, y / 2 - 0.25);
    layer.cover[index] = sideCover * smoothStep(edge + edgeSoftness * width, edge - edgeSoftness * width, v);
  }
}

/** The level that only a twentieth of the opening's middle is darker than. */
function darkest(view: DonorView): number {
  const levels: number[] = [];
  for (let column = 0; column < 24; column += 1) {
    const across = view.width * mix(-0.25, 0.25, column / 23);
    const { upper, lower } = lipsAt(view, across);
    for (let row = 1; row < 24; row += 1) levels.push(lumaAt(view, across, mix(upper, lower, row / 24)));
  }
  levels.sort((left, right) => left - right);
  return levels[Math.floor(levels.length / 20)] ?? 16;
}
