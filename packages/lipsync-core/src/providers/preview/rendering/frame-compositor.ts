import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import { halved, planesOf, type Picture } from '../../../image/planes.ts';
import { PlanePatch, sampleBilinear, warpChromaRow, warpLumaRow } from '../../../image/warp-sampling.ts';
import { neutralChroma } from './face-colors.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples } from './lip-curves.ts';
import { sampleLayer, type LayerSample, type MouthInterior } from './mouth-interior.ts';
import { RowWarp, type LipLine } from './row-warp.ts';
import type { WarpField } from './warp-field.ts';

/** Parts of a renderer that the compositor reads. Pose, line and field change from frame to frame. */
export interface CompositorParts {
  readonly field: WarpField;
  readonly pose: HeadPose;
  readonly line: LipLine;
  readonly interior: MouthInterior;
  readonly mouthWidth: number;
}

/** Values of one frame. */
export interface FrameValues {
  /** Middle of the closed mouth in the face plane: the position of the upper teeth. */
  readonly anchor: { readonly across: number; readonly down: number };
  /** Opacity of the drawn interior over the clip's own, 0–1. */
  readonly strength: number;
  /** Brightness of this frame relative to the interior's colors. */
  readonly gain: number;
  /** Luma of the skin in this frame. */
  readonly skinLuma: number;
  /** How far the light of a flash hides the interior, 0–1: at 1 it is as bright as the skin. */
  readonly overexposure: number;
}

/** Shadow of the upper lip: light at the lip's edge, and depth of the shadow relative to the mouth's width. */
const lipShadow = { light: 0.5, depth: 0.055 } as const;
const cornerLight = 0.35;
/**
 * Light that the upper lip and teeth leave on lower teeth and tongue in a narrow opening, and heights of the opening,
 * relative to the mouth's width, over which the rest of it reaches them.
 */
const narrowOpening = { light: 0.5, from: 0.06, to: 0.26 } as const;
const blackLuma = 16;
const largestLuma = 255;

/** Draws warped skin and lips and the mouth interior into pictures. Keeps its memory between frames. */
export class FrameCompositor {
  readonly #parts: CompositorParts;
  readonly #warp: RowWarp;
  readonly #luma = new PlanePatch();
  readonly #cb = new PlanePatch();
  readonly #cr = new PlanePatch();
  readonly #color: LayerSample = { luma: 0, cb: 0, cr: 0, alpha: 0 };
  readonly #layerColor: LayerSample = { luma: 0, cb: 0, cr: 0, alpha: 0 };

  constructor(parts: CompositorParts) {
    this.#parts = parts;
    this.#warp = new RowWarp(parts.field, parts.pose, parts.line);
  }

  /** Draws into the region of the field. Returns the number of bytes written. */
  draw(picture: Picture, values: FrameValues): number {
    const { region } = this.#parts.field;
    const planes = planesOf(picture);
    const chromaRegion = halved(region);
    this.#luma.copyFrom(planes.luma, region);
    this.#cb.copyFrom(planes.cb, chromaRegion);
    this.#cr.copyFrom(planes.cr, chromaRegion);
    this.#warp.allocate();
    const rows = region.bottom - region.top;
    let written = 0;
    for (let row = 0; row < rows; row += 1) written += this.#drawLumaRow(picture, values, row);
    for (let row = 0; row < rows >> 1; row += 1) written += this.#drawChromaRow(picture, values, row);
    return written;
  }

  #drawLumaRow({ width, data }: Picture, values: FrameValues, row: number): number {
    const warp = this.#warp;
    const { left, top, right } = this.#parts.field.region;
    const start = (top + row) * width + left;
    warp.mapRow({ x: left, y: top + row, pixelStep: 1, count: right - left });
    const { first, end, shiftX, shiftY } = warp;
    warpLumaRow(this.#luma, { row, first, end, shiftX, shiftY }, data, start);
    for (let pixel = warp.lipFirst; pixel < warp.lipEnd; pixel += 1) {
      data[start + pixel] = this.#lumaBetweenLips(values, row, pixel, at(data, start + pixel));
    }
    return Math.max(0, end - first);
  }

  /** Adds the other lip, the crease and the interior to the warped luma of a pixel. */
  #lumaBetweenLips(values: FrameValues, row: number, pixel: number, warped: number): number {
    const warp = this.#warp;
    const luma = this.#luma;
    const { left, top } = this.#parts.field.region;
    const alpha = at(warp.alpha, pixel);
    const otherAlpha = at(warp.otherAlpha, pixel);
    let value = warped;
    if (otherAlpha > 0) {
      const other = sampleBilinear(luma, pixel + at(warp.otherX, pixel), row + at(warp.otherY, pixel));
      value = mix(value, other, otherAlpha);
    }
    value *= at(warp.light, pixel);
    if (alpha > 0) {
      const { strength } = values;
      this.#sampleInterior(values, left + pixel, top + row);
      const own =
        strength < 1 ? sampleBilinear(luma, pixel + at(warp.insideX, pixel), row + at(warp.insideY, pixel)) : 0;
      value = mix(value, mix(own, this.#color.luma, strength), alpha);
    }
    return Math.round(value);
  }

  #drawChromaRow({ width, height, data }: Picture, values: FrameValues, row: number): number {
    const warp = this.#warp;
    const color = this.#color;
    const { left, top, right } = this.#parts.field.region;
    const stride = width >> 1;
    const planeBytes = stride * (height >> 1);
    const start = width * height + ((top >> 1) + row) * stride + (left >> 1);
    const x = left + 0.5;
    const y = top + row * 2 + 0.5;
    warp.mapRow({ x, y, pixelStep: 2, count: (right - left) >> 1 });
    const { first, end, shiftX, shiftY } = warp;
    warpChromaRow(this.#cb, this.#cr, { row, first, end, shiftX, shiftY }, { data, start, planeBytes });
    for (let pixel = warp.lipFirst; pixel < warp.lipEnd; pixel += 1) {
      const alpha = at(warp.alpha, pixel);
      if (alpha === 0) continue;
      this.#sampleInterior(values, x + pixel * 2, y);
      const ownX = pixel + at(warp.insideX, pixel) / 2;
      const ownY = row + at(warp.insideY, pixel) / 2;
      const cb = mix(sampleBilinear(this.#cb, ownX, ownY), color.cb, values.strength);
      const cr = mix(sampleBilinear(this.#cr, ownX, ownY), color.cr, values.strength);
      const index = start + pixel;
      data[index] = Math.round(mix(at(data, index), cb, alpha));
      data[index + planeBytes] = Math.round(mix(at(data, index + planeBytes), cr, alpha));
    }
    return Math.max(0, end - first) * 2;
  }

  /**
   * Sets `#color` to the interior at a pixel: the cavity, the jaw's layer over it, the upper teeth over both, all
   * shaded by the lips.
   */
  #sampleInterior({ anchor, gain, skinLuma, overexposure }: FrameValues, x: number, y: number): void {
    const { pose, line, interior, mouthWidth } = this.#parts;
    const color = this.#color;
    const layerColor = this.#layerColor;
    const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
    const u = ((x - pose.originX) * pose.downY - (y - pose.originY) * pose.downX) / determinant;
    const v = ((y - pose.originY) * pose.acrossX - (x - pose.originX) * pose.acrossY) / determinant;
    const { curves } = line;
    const position = clamp((u - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
    const k = Math.min(curveSamples - 2, Math.floor(position));
    const upper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), position - k);
    const lower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), position - k);
    color.luma = interior.cavity.luma;
    color.cb = interior.cavity.cb;
    color.cr = interior.cavity.cr;
    sampleLayer(interior.lower, u - anchor.across, lower - v, layerColor);
    const { light: narrow, from, to } = narrowOpening;
    layerColor.luma *= mix(narrow, 1, smoothStep(from, to, (lower - upper) / mouthWidth));
    composite(color, layerColor);
    sampleLayer(interior.upper, u - anchor.across, v - anchor.down, layerColor);
    composite(color, layerColor);
    const fromMiddle = Math.abs((2 * position) / (curveSamples - 1) - 1);
    const light =
      mix(lipShadow.light, 1, smoothStep(0, lipShadow.depth * mouthWidth, v - upper)) *
      mix(1, cornerLight, fromMiddle ** 3);
    const luma = blackLuma + (color.luma * gain - blackLuma) * light;
    color.luma = mix(Math.min(largestLuma, luma), skinLuma, overexposure);
    color.cb = mix(color.cb, neutralChroma, overexposure);
    color.cr = mix(color.cr, neutralChroma, overexposure);
  }
}

/** Composites a layer over a color. */
function composite(color: LayerSample, layer: Readonly<LayerSample>): void {
  color.luma = mix(color.luma, layer.luma, layer.alpha);
  color.cb = mix(color.cb, layer.cb, layer.alpha);
  color.cr = mix(color.cr, layer.cr, layer.alpha);
}
