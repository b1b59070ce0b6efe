import { landmarkCount, type FaceFrame } from '../../../face/face-types.ts';
import type { Picture } from '../../../media/media-types.ts';
import { DonorSearch, type DonorFrame } from './donor-search.ts';
import { createHeadPose, fitHeadPose, inHeadSpace, turnOf, type HeadPose, type HeadTemplate } from './head-pose.ts';
import { measureParting } from './lip-parting.ts';
import {
  createLipCurves,
  curveSamples,
  lipEdges,
  openingOf,
  readLipCurves,
  sampleEdge,
  type LipCurves,
  type LipEdge,
} from './lip-curves.ts';
import {
  chinTip,
  foreheadTop,
  leftEyeCorners,
  mouthCorners,
  noseBase,
  nosePoints,
  rightEyeCorners,
  skullPoints,
} from '../../../face/landmarks.ts';
import { at, clamp, medianInPlace, smoothStep } from '../../../image/math.ts';
import { measureTones, type FaceTones } from './face-tones.ts';

/** The speaker's mouth at rest, closed, in head space. */
export interface NeutralMouth {
  readonly template: HeadTemplate;
  readonly curves: Readonly<LipCurves>;
  /** Depth along each lip edge. */
  readonly depth: Readonly<Record<LipEdge, Float32Array>>;
  readonly cornerDepthLeft: number;
  readonly cornerDepthRight: number;
  /** Distance between the corners. */
  readonly width: number;
  /** Opening, as a share of the mouth's width, up to which landmarks of this speaker mean closed lips. */
  readonly closedOpening: number;
  /** How far the lips of a speaker who never closes them are seen to be parted: 0 not at all, 1 certainly. */
  readonly neverClosed: number;
}

/** What a look through the clip found out about the speaker. */
export interface MouthReference {
  readonly neutral: NeutralMouth;
  readonly tones: FaceTones;
  /** The best view of the speaker's teeth; undefined when the clip shows none. */
  readonly donor: DonorFrame | undefined;
}

const largestTurn = 0.45;
/** Share of the sampled frames, beginning with the most closed, of which the neutral mouth is the median. */
const closedShare = 0.25;
const closedMargin = 0.01;
const closedLimits = { low: 0.03, talking: 0.07, still: 0.09 } as const;
/** Span of openings within which a mouth counts as one that does not talk. */
const talkingRange = 0.06;
/** Height of the dark or pale band between the lips, as a share of the mouth's width, at which lips begin to be parted and certainly are. */
const partedBand = { from: 0.028, to: 0.038 } as const;
/** How much of an opening the upper lip takes back when the mouth closes; the rest is the lower lip and jaw. */
const upperShareOfClosing = 0.25;

interface Sample {
  readonly points: Float32Array;
  readonly tones: FaceTones;
  /** Height of what is seen between the lips, as a share of the mouth's width. */
  readonly parting: number;
}

/** Collects a sample of clip frames and makes the reference of them. Holds landmarks of each and one small patch of picture. */
export class MouthReferenceBuilder {
  readonly #samples: Sample[] = [];
  readonly #donors = new DonorSearch();

  /** Looks at one frame; frames without a usable face are passed over. Nothing of `picture` is kept by reference. */
  add(picture: Picture, face: FaceFrame): void {
    if (face.presence !== 'found' || face.points.length < landmarkCount * 3 || !face.points.every(Number.isFinite))
      return;
    const template = ownTemplate(face.points);
    const pose = createHeadPose();
    if (template === undefined || !fitHeadPose(template, face.points, pose)) return;
    const tones = measureTones(picture, face.points);
    this.#donors.consider(picture, face.points, pose, tones);
    const curves = createLipCurves();
    readLipCurves(pose, face.points, curves);
    this.#samples.push({ points: face.points.slice(), tones, parting: measureParting(picture, pose, curves) });
  }

  /** The reference, or undefined when no frame had a usable face. */
  finish(): MouthReference | undefined {
    const template = commonTemplate(this.#samples.map((sample) => sample.points));
    if (template === undefined) return undefined;
    const neutral = neutralMouth(template, this.#samples);
    if (neutral === undefined) return undefined;
    return { neutral, tones: medianTones(this.#samples.map((sample) => sample.tones)), donor: this.#donors.best() };
  }
}

function medianTones(tones: readonly FaceTones[]): FaceTones {
  const median = (read: (tone: FaceTones) => number): number => medianInPlace(tones.map(read));
  return {
    skin: {
      luma: median((tone) => tone.skin.luma),
      blue: median((tone) => tone.skin.blue),
      red: median((tone) => tone.skin.red),
    },
    lip: {
      luma: median((tone) => tone.lip.luma),
      blue: median((tone) => tone.lip.blue),
      red: median((tone) => tone.lip.red),
    },
  };
}

/** The rigid points of one frame in axes of its own: across along the eyes, down from forehead to chin. */
function ownTemplate(points: Float32Array): HeadTemplate | undefined {
  const pose = ownPose(points);
  if (pose === undefined) return undefined;
  const model = new Float64Array(skullPoints.length * 3);
  for (let k = 0; k < skullPoints.length; k += 1) {
    for (const axis of [0, 1, 2] as const) model[k * 3 + axis] = inHeadSpace(pose, points, skullPoints[k] ?? 0, axis);
  }
  return { landmarks: skullPoints, points: model, anchors: nosePoints };
}

type Vector = readonly [number, number, number];

function between(points: Float32Array, from: number, to: number): Vector {
  const difference = (axis: number): number => at(points, to * 3 + axis) - at(points, from * 3 + axis);
  return [difference(0), difference(1), difference(2)];
}

function ownPose(points: Float32Array): HeadPose | undefined {
  const across = between(points, leftEyeCorners[0], rightEyeCorners[0]);
  const scale = Math.hypot(...across);
  if (!(scale > 1)) return undefined;
  const x: Vector = [across[0] / scale, across[1] / scale, across[2] / scale];
  const long = between(points, foreheadTop, chinTip);
  const along = long[0] * x[0] + long[1] * x[1] + long[2] * x[2];
  const upright: Vector = [long[0] - along * x[0], long[1] - along * x[1], long[2] - along * x[2]];
  const length = Math.hypot(...upright);
  if (!(length > 1)) return undefined;
  const y: Vector = [upright[0] / length, upright[1] / length, upright[2] / length];
  const z: Vector = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
  const pose = createHeadPose();
  pose.rotation.set([x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]]);
  pose.scale = scale;
  pose.originX = at(points, noseBase * 3);
  pose.originY = at(points, noseBase * 3 + 1);
  pose.originZ = at(points, noseBase * 3 + 2);
  return pose;
}

/** Median of the frames' own templates, so that no single bad frame bends it. */
function commonTemplate(frames: readonly Float32Array[]): HeadTemplate | undefined {
  const templates = frames.flatMap((points) => ownTemplate(points) ?? []);
  if (templates.length === 0) return undefined;
  const model = new Float64Array(skullPoints.length * 3);
  for (let k = 0; k < model.length; k += 1)
    model[k] = medianInPlace(templates.map((template) => at(template.points, k)));
  return { landmarks: skullPoints, points: model, anchors: nosePoints };
}

interface PosedMouth {
  readonly curves: LipCurves;
  readonly depth: Record<LipEdge, Float32Array>;
  readonly cornerDepths: readonly [number, number];
  readonly opening: number;
  readonly turn: number;
}

function posedMouth(template: HeadTemplate, points: Float32Array): PosedMouth | undefined {
  const pose = createHeadPose();
  if (!fitHeadPose(template, points, pose)) return undefined;
  const curves = createLipCurves();
  readLipCurves(pose, points, curves);
  const { outerUpper, innerUpper, innerLower, outerLower } = createLipCurves();
  const depth = { outerUpper, innerUpper, innerLower, outerLower };
  for (const edge of lipEdges) sampleEdge(pose, points, edge, 2, depth[edge]);
  const cornerDepths = [
    inHeadSpace(pose, points, mouthCorners.outer[0], 2),
    inHeadSpace(pose, points, mouthCorners.outer[1], 2),
  ] as const;
  unturn(curves, depth, cornerDepths, pose);
  const turn = turnOf(pose);
  return { curves, depth, cornerDepths, opening: openingOf(curves), turn: Math.hypot(turn.yaw, turn.pitch) };
}

/** Takes out of picture-plane curves what depth added to them, leaving head space. */
function unturn(
  curves: LipCurves,
  depth: Record<LipEdge, Float32Array>,
  corners: readonly [number, number],
  pose: HeadPose,
): void {
  const lean = depthLean(pose);
  curves.left -= corners[0] * lean.across;
  curves.right -= corners[1] * lean.across;
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) curves[edge][k] = at(curves[edge], k) - at(depth[edge], k) * lean.down;
  }
}

/** How far a point one unit deep appears displaced in the picture plane. */
export function depthLean(pose: HeadPose): { readonly across: number; readonly down: number } {
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  return {
    across: (pose.depthX * pose.downY - pose.depthY * pose.downX) / determinant,
    down: (pose.depthY * pose.acrossX - pose.depthX * pose.acrossY) / determinant,
  };
}

function neutralMouth(template: HeadTemplate, samples: readonly Sample[]): NeutralMouth | undefined {
  const mouths = samples.flatMap(({ points }) => posedMouth(template, points) ?? []);
  const frontal = mouths.filter((mouth) => mouth.turn < largestTurn);
  const usable = (frontal.length > 0 ? frontal : mouths).toSorted((left, right) => left.opening - right.opening);
  const closed = usable.slice(0, Math.max(1, Math.ceil(usable.length * closedShare)));
  if (closed.length === 0) return undefined;
  const median = (read: (mouth: PosedMouth) => number): number => medianInPlace(closed.map(read));
  const curves = createLipCurves();
  const { outerUpper, innerUpper, innerLower, outerLower } = createLipCurves();
  const depth = { outerUpper, innerUpper, innerLower, outerLower };
  curves.left = median((mouth) => mouth.curves.left);
  curves.right = median((mouth) => mouth.curves.right);
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) {
      curves[edge][k] = median((mouth) => at(mouth.curves[edge], k));
      depth[edge][k] = median((mouth) => at(mouth.depth[edge], k));
    }
  }
  closeLips(curves, curves);
  const width = curves.right - curves.left;
  if (!(width > 0)) return undefined;
  const cornerDepthLeft = median((mouth) => mouth.cornerDepths[0]);
  const cornerDepthRight = median((mouth) => mouth.cornerDepths[1]);
  const openings = usable.map((mouth) => mouth.opening);
  const neverClosed = isTalking(openings)
    ? 0
    : smoothStep(partedBand.from, partedBand.to, medianInPlace(samples.map(({ parting }) => parting)));
  return {
    template,
    curves,
    depth,
    cornerDepthLeft,
    cornerDepthRight,
    width,
    closedOpening: closedLevel(openings),
    neverClosed,
  };
}

/** Least opening, and the one that a tenth of the ascending `openings` exceed. */
function spanOf(openings: readonly number[]): { readonly least: number; readonly most: number } {
  const least = openings[0] ?? 0;
  return { least, most: openings[Math.floor((openings.length - 1) * 0.9)] ?? least };
}

function isTalking(openings: readonly number[]): boolean {
  const { least, most } = spanOf(openings);
  return most - least >= talkingRange;
}

/**
 * What the landmarks call the opening of closed lips differs between speakers; it is read where the mouth was
 * most closed. A mouth that hardly changes through the clip has one opening all along, because following what
 * the landmarks say of it would only make it tremble; whether it is closed or parted, the picture tells. `openings` ascend.
 */
function closedLevel(openings: readonly number[]): number {
  const { least, most } = spanOf(openings);
  if (!isTalking(openings)) return clamp(most + closedMargin, closedLimits.low, closedLimits.still);
  return clamp(least + closedMargin, closedLimits.low, closedLimits.talking);
}

/** Brings the lips of `from` together without changing how thick they are. */
export function closeLips(from: Readonly<LipCurves>, to: LipCurves): void {
  to.left = from.left;
  to.right = from.right;
  for (let k = 0; k < curveSamples; k += 1) {
    const upper = at(from.innerUpper, k);
    const gap = at(from.innerLower, k) - upper;
    const seam = upper + gap * upperShareOfClosing;
    to.outerUpper[k] = at(from.outerUpper, k) + gap * upperShareOfClosing;
    to.outerLower[k] = at(from.outerLower, k) - gap * (1 - upperShareOfClosing);
    to.innerUpper[k] = seam;
    to.innerLower[k] = seam;
  }
}
