import { chinTip, jawLine, noseBase } from '../../../face/landmarks.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import type { PixelArea } from '../../../image/planes.ts';
import { toFacePlane, type HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';
import type { MouthTarget } from './mouth-target.ts';

/** Distance below the chin at which its movement has decayed, relative to the distance between mouth and chin. */
const neckFraction = 0.75;
/** Position of the upper end of the movement between upper lip (0) and nose base (1). */
const topFraction = 0.9;
/**
 * Distance from the corners in which the opening between the lips closes, relative to the mouth's width. It is short,
 * so that no line is drawn over the cheek.
 */
const pinchReach = 0.12;
const nodesAcrossMouth = 26;
const marginPx = 2;

/**
 * Backward warp of the lower face: the displacement from each pixel to its source, on a coarse grid. The lips separate
 * along the seam, so there are two smooth fields, one for the pixels above it and one for those below. Keeps its memory
 * between frames.
 */
export class WarpField {
  /** The pixels that may change. */
  readonly region: PixelArea = { left: 0, top: 0, right: 0, bottom: 0 };
  /** Pixels between grid nodes. */
  step = 1;
  columns = 0;
  rows = 0;
  upperX = new Float32Array(0);
  upperY = new Float32Array(0);
  lowerX = new Float32Array(0);
  lowerY = new Float32Array(0);
  readonly #pose: HeadPose;
  /** The part of the face plane that may move: `top` and `bottom` are where the movement has decayed. */
  readonly #extent = { top: 0, chin: 0, bottom: 0, left: 0, right: 0, center: 0 };
  /** Displacement of lip edges and chin at one position across the face. */
  readonly #move = { outerUpper: 0, innerUpper: 0, innerLower: 0, outerLower: 0, jaw: 0, across: 0 };
  /** The target's lip edges at that position. */
  readonly #edge = { outerUpper: 0, innerUpper: 0, innerLower: 0, outerLower: 0 };

  /** `pose` is read at every update. */
  constructor(pose: HeadPose) {
    this.#pose = pose;
  }

  /**
   * Computes the displacements that move the lips from `source` to `target`. Returns false when the face lies outside
   * the picture.
   */
  update(
    points: Float32Array,
    source: Readonly<LipCurves>,
    target: MouthTarget,
    picture: { readonly width: number; readonly height: number },
  ): boolean {
    const pose = this.#pose;
    this.#measureExtent(points, source, target.curves);
    if (!this.#placeRegion(picture.width, picture.height)) return false;
    this.#allocate((source.right - source.left) * pose.scale);
    const move = this.#move;
    const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
    for (let row = 0; row < this.rows; row += 1) {
      const y = this.region.top + row * this.step - pose.originY;
      for (let column = 0; column < this.columns; column += 1) {
        const x = this.region.left + column * this.step - pose.originX;
        const u = (x * pose.downY - y * pose.downX) / determinant;
        const v = (y * pose.acrossX - x * pose.acrossY) / determinant;
        this.#moveAt(u, source, target);
        const across = move.across * this.#acrossFraction(v);
        const upper = this.#upperMove(v);
        const lower = this.#lowerMove(v);
        const node = row * this.columns + column;
        this.upperX[node] = -(across * pose.acrossX + upper * pose.downX);
        this.upperY[node] = -(across * pose.acrossY + upper * pose.downY);
        this.lowerX[node] = -(across * pose.acrossX + lower * pose.downX);
        this.lowerY[node] = -(across * pose.acrossY + lower * pose.downY);
      }
    }
    return true;
  }

  #measureExtent(points: Float32Array, source: Readonly<LipCurves>, target: Readonly<LipCurves>): void {
    const pose = this.#pose;
    const extent = this.#extent;
    const middle = (curveSamples - 1) / 2;
    const width = source.right - source.left;
    const lip = Math.min(at(source.outerUpper, middle), at(target.outerUpper, middle));
    const nose = toFacePlane(pose, points, noseBase, 1);
    const lowest = Math.max(at(source.outerLower, middle), at(target.outerLower, middle));
    extent.center = (source.left + source.right) / 2;
    extent.top = lip + (nose - lip) * topFraction;
    extent.chin = Math.max(toFacePlane(pose, points, chinTip, 1), lowest + width * 0.15);
    extent.bottom = extent.chin + (extent.chin - lip) * neckFraction;
    extent.left = extent.center;
    extent.right = extent.center;
    for (const landmark of jawLine) {
      const across = toFacePlane(pose, points, landmark, 0);
      extent.left = Math.min(extent.left, across);
      extent.right = Math.max(extent.right, across);
    }
    extent.left = Math.min(extent.left, Math.min(source.left, target.left) - width * 0.2);
    extent.right = Math.max(extent.right, Math.max(source.right, target.right) + width * 0.2);
  }

  /**
   * Sets the bounding box of the extent in whole, even pixels, clipped to the picture. Returns false when it is empty.
   */
  #placeRegion(width: number, height: number): boolean {
    const pose = this.#pose;
    const extent = this.#extent;
    const { region } = this;
    let left = Number.POSITIVE_INFINITY;
    let top = Number.POSITIVE_INFINITY;
    let right = Number.NEGATIVE_INFINITY;
    let bottom = Number.NEGATIVE_INFINITY;
    for (let corner = 0; corner < 4; corner += 1) {
      const u = corner % 2 === 0 ? extent.left : extent.right;
      const v = corner < 2 ? extent.top : extent.bottom;
      const x = pose.originX + u * pose.acrossX + v * pose.downX;
      const y = pose.originY + u * pose.acrossY + v * pose.downY;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    region.left = Math.max(0, Math.floor(left - marginPx) & ~1);
    region.top = Math.max(0, Math.floor(top - marginPx) & ~1);
    region.right = Math.min(width, (Math.ceil(right + marginPx) + 1) & ~1);
    region.bottom = Math.min(height, (Math.ceil(bottom + marginPx) + 1) & ~1);
    return region.right - region.left >= 2 && region.bottom - region.top >= 2;
  }

  #allocate(mouthWidthPx: number): void {
    const { region } = this;
    this.step = Math.max(1, Math.round(mouthWidthPx / nodesAcrossMouth));
    this.columns = Math.ceil((region.right - region.left) / this.step) + 2;
    this.rows = Math.ceil((region.bottom - region.top) / this.step) + 2;
    const nodes = this.columns * this.rows;
    if (this.upperX.length >= nodes) return;
    this.upperX = new Float32Array(nodes);
    this.upperY = new Float32Array(nodes);
    this.lowerX = new Float32Array(nodes);
    this.lowerY = new Float32Array(nodes);
  }

  /** Sets `#move` and `#edge` for the position `u` across the face. */
  #moveAt(u: number, source: Readonly<LipCurves>, target: MouthTarget): void {
    const { curves } = target;
    const move = this.#move;
    const edge = this.#edge;
    const extent = this.#extent;
    const position = clamp((u - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
    const k = Math.min(curveSamples - 2, Math.floor(position));
    const t = position - k;
    edge.outerUpper = mix(at(curves.outerUpper, k), at(curves.outerUpper, k + 1), t);
    edge.innerUpper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), t);
    edge.innerLower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), t);
    edge.outerLower = mix(at(curves.outerLower, k), at(curves.outerLower, k + 1), t);
    const width = curves.right - curves.left;
    let decay = 1;
    let pinch = 1;
    if (u < curves.left) {
      decay = smoothStep(extent.left, curves.left, u);
      pinch = smoothStep(curves.left - width * pinchReach, curves.left, u);
    } else if (u > curves.right) {
      decay = smoothStep(extent.right, curves.right, u);
      pinch = smoothStep(curves.right + width * pinchReach, curves.right, u);
    }
    const innerUpper = mix(at(source.innerUpper, k), at(source.innerUpper, k + 1), t);
    const innerLower = mix(at(source.innerLower, k), at(source.innerLower, k + 1), t);
    const seam = ((edge.innerUpper + edge.innerLower) / 2 - (innerUpper + innerLower) / 2) * (1 - pinch);
    const moveOf = (target: number, own: number): number => (seam + (target - own) * pinch) * decay;
    move.outerUpper = moveOf(edge.outerUpper, mix(at(source.outerUpper, k), at(source.outerUpper, k + 1), t));
    move.innerUpper = moveOf(edge.innerUpper, innerUpper);
    move.innerLower = moveOf(edge.innerLower, innerLower);
    move.outerLower = moveOf(edge.outerLower, mix(at(source.outerLower, k), at(source.outerLower, k + 1), t));
    const inSource = mix(source.left, source.right, position / (curveSamples - 1));
    const inTarget = mix(curves.left, curves.right, position / (curveSamples - 1));
    move.across = (inTarget - inSource) * decay;
    const halfWidth = u < extent.center ? extent.center - extent.left : extent.right - extent.center;
    move.jaw = target.chinDrop * (1 - smoothStep(0.3, 1, Math.abs(u - extent.center) / halfWidth));
  }

  /** Downward displacement above the seam. */
  #upperMove(v: number): number {
    const move = this.#move;
    const edge = this.#edge;
    if (v >= edge.innerUpper) return move.innerUpper;
    if (v >= edge.outerUpper)
      return mix(move.outerUpper, move.innerUpper, (v - edge.outerUpper) / (edge.innerUpper - edge.outerUpper));
    return move.outerUpper * smoothStep(this.#extent.top, edge.outerUpper, v);
  }

  /** Downward displacement below the seam. */
  #lowerMove(v: number): number {
    const move = this.#move;
    const edge = this.#edge;
    const { chin, bottom } = this.#extent;
    if (v <= edge.innerLower) return move.innerLower;
    if (v < edge.outerLower)
      return mix(move.innerLower, move.outerLower, (v - edge.innerLower) / (edge.outerLower - edge.innerLower));
    if (v < chin) return mix(move.outerLower, move.jaw, smoothStep(edge.outerLower, chin, v));
    return move.jaw * smoothStep(bottom, chin, v);
  }

  /** Fraction of the sideways displacement at `v`: 1 along the lips, 0 at nose and chin. */
  #acrossFraction(v: number): number {
    const edge = this.#edge;
    const extent = this.#extent;
    if (v < edge.outerUpper) return smoothStep(extent.top, edge.outerUpper, v);
    if (v > edge.outerLower) return smoothStep(extent.chin, edge.outerLower, v);
    return 1;
  }
}
