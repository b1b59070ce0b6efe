import type { Picture } from '../../../media/media-types.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples } from './lip-curves.ts';
import { sampleLayer, type LayerSample, type MouthInterior } from './mouth-interior.ts';
import { at, clamp, mix, smoothStep } from './numbers.ts';
import { copyPatch, createPlanePatch, sampleLinear, sampleSharp } from './resample.ts';
import { createRowTrace, sizeRowTrace, traceRow, type LipLine } from './row-trace.ts';
import type { WarpField } from './warp-field.ts';

/** Everything that decides the pixels of one frame. */
export interface FrameDrawing {
  readonly picture: Picture;
  readonly field: WarpField;
  readonly pose: HeadPose;
  readonly line: LipLine;
  readonly interior: MouthInterior;
  /** Middle of the closed mouth in the picture plane, where the upper teeth hang. */
  readonly anchor: { readonly across: number; readonly down: number };
  /** Share of the drawn inside of the mouth against the clip's own. */
  readonly share: number;
  /** Brightness of this frame against the one that the inside's colours come from. */
  readonly gain: number;
  readonly mouthWidth: number;
}

export interface PictureWriter {
  /** Draws the frame into its picture and returns the bytes written. */
  write(drawing: FrameDrawing): number;
}

/** Displacements below this many pixels are not worth resampling; it keeps still skin bit-identical. */
const smallestShiftPx = 1 / 128;
/** Shadow of the upper lip on what is behind it: what light is left at the lip's edge, and how far it reaches as a share of the mouth's width. */
const lipShadow = { light: 0.5, reach: 0.055 } as const;
const cornerLight = 0.25;

export function createPictureWriter(): PictureWriter {
  const luma = createPlanePatch();
  const blue = createPlanePatch();
  const red = createPlanePatch();
  const trace = createRowTrace();
  const colour: LayerSample = { luma: 0, blue: 0, red: 0, cover: 0 };

  function copyRegion({ picture, field }: FrameDrawing): void {
    const { width, height, data } = picture;
    const { left, top, right, bottom } = field.region;
    const chromaStart = width * height;
    const chromaSize = (width >> 1) * (height >> 1);
    copyPatch(luma, data, 0, width, left, top, right - left, bottom - top);
    copyPatch(blue, data, chromaStart, width >> 1, left >> 1, top >> 1, (right - left) >> 1, (bottom - top) >> 1);
    copyPatch(red, data, chromaStart + chromaSize, width >> 1, left >> 1, top >> 1, (right - left) >> 1, (bottom - top) >> 1);
  }

  function writeLumaRow(drawing: FrameDrawing, row: number): number {
    const { picture, field } = drawing;
    const { left, top, right } = field.region;
    const count = right - left;
    const start = (top + row) * picture.width + left;
    traceRow(trace, field, drawing.pose, drawing.line, left, top + row, 1, count);
    let written = 0;
    for (let pixel = 0; pixel < count; pixel += 1) {
      const cover = at(trace.cover, pixel);
      const light = at(trace.light, pixel);
      const shiftX = at(trace.shiftX, pixel);
      const shiftY = at(trace.shiftY, pixel);
      if (cover === 0 && light === 1 && Math.abs(shiftX) + Math.abs(shiftY) < smallestShiftPx) continue;
      let value = cover < 1 ? sampleSharp(luma, pixel + shiftX, row + shiftY) * light : 0;
      if (cover > 0) {
        insideColour(drawing, left + pixel, top + row, colour);
        const own = drawing.share < 1 ? sampleSharp(luma, pixel + at(trace.insideX, pixel), row + at(trace.insideY, pixel)) : 0;
        value = mix(value, mix(own, colour.luma, drawing.share), cover);
      }
      picture.data[start + pixel] = Math.round(value);
      written += 1;
    }
    return written;
  }

  function writeChromaRow(drawing: FrameDrawing, row: number): number {
    const { picture, field } = drawing;
    const { left, top, right } = field.region;
    const count = (right - left) >> 1;
    const stride = picture.width >> 1;
    const blueStart = picture.width * picture.height + ((top >> 1) + row) * stride + (left >> 1);
    const redStart = blueStart + stride * (picture.height >> 1);
    const x = left + 0.5;
    const y = top + row * 2 + 0.5;
    traceRow(trace, field, drawing.pose, drawing.line, x, y, 2, count);
    let written = 0;
    for (let pixel = 0; pixel < count; pixel += 1) {
      const cover = at(trace.cover, pixel);
      const shiftX = at(trace.shiftX, pixel) / 2;
      const shiftY = at(trace.shiftY, pixel) / 2;
      if (cover === 0 && Math.abs(shiftX) + Math.abs(shiftY) < smallestShiftPx) continue;
      let newBlue = sampleLinear(blue, pixel + shiftX, row + shiftY);
      let newRed = sampleLinear(red, pixel + shiftX, row + shiftY);
      if (cover > 0) {
        insideColour(drawing, x + pixel * 2, y, colour);
        const fromX = pixel + at(trace.insideX, pixel) / 2;
        const fromY = row + at(trace.insideY, pixel) / 2;
        newBlue = mix(newBlue, mix(sampleLinear(blue, fromX, fromY), colour.blue, drawing.share), cover);
        newRed = mix(newRed, mix(sampleLinear(red, fromX, fromY), colour.red, drawing.share), cover);
      }
      picture.data[blueStart + pixel] = Math.round(newBlue);
      picture.data[redStart + pixel] = Math.round(newRed);
      written += 2;
    }
    return written;
  }

  return {
    write(drawing) {
      const { region, columns } = drawing.field;
      copyRegion(drawing);
      sizeRowTrace(trace, region.right - region.left, columns);
      let written = 0;
      for (let row = 0; row < region.bottom - region.top; row += 1) written += writeLumaRow(drawing, row);
      for (let row = 0; row < (region.bottom - region.top) >> 1; row += 1) written += writeChromaRow(drawing, row);
      return written;
    },
  };
}

const layerColour: LayerSample = { luma: 0, blue: 0, red: 0, cover: 0 };

/** Colour of the inside of the mouth at a pixel: the dark, what moves with the jaw before it, the upper teeth before that, all in the lips' shade. */
function insideColour({ pose, line, interior, anchor, gain, mouthWidth }: FrameDrawing, x: number, y: number, colour: LayerSample): void {
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  const u = ((x - pose.originX) * pose.downY - (y - pose.originY) * pose.downX) / determinant;
  const v = ((y - pose.originY) * pose.acrossX - (x - pose.originX) * pose.acrossY) / determinant;
  const { curves } = line;
  const position = clamp((u - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  const upper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), position - k);
  const lower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), position - k);
  colour.luma = interior.cavity.luma;
  colour.blue = interior.cavity.blue;
  colour.red = interior.cavity.red;
  sampleLayer(interior.lower, u - anchor.across, lower - v, layerColour);
  cover(colour, layerColour);
  sampleLayer(interior.upper, u - anchor.across, v - anchor.down, layerColour);
  cover(colour, layerColour);
  const sideways = Math.abs((2 * position) / (curveSamples - 1) - 1);
  const light = mix(lipShadow.light, 1, smoothStep(0, lipShadow.reach * mouthWidth, v - upper)) * mix(1, cornerLight, sideways ** 3);
  colour.luma = blackLuma + (colour.luma * gain - blackLuma) * light;
}

const blackLuma = 16;

function cover(colour: LayerSample, layer: Readonly<LayerSample>): void {
  colour.luma = mix(colour.luma, layer.luma, layer.cover);
  colour.blue = mix(colour.blue, layer.blue, layer.cover);
  colour.red = mix(colour.red, layer.red, layer.cover);
}
