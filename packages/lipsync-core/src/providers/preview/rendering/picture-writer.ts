import type { Picture } from '../../../media/media-types.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples } from './lip-curves.ts';
import { sampleLayer, type LayerSample, type MouthInterior } from './mouth-interior.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import { halved, planesOf } from '../../../image/planes.ts';
import { PlanePatch, sampleBilinear, warpChromaRow, warpLumaRow } from '../../../image/warp-sampling.ts';
import { createRowTrace, sizeRowTrace, traceRow, type LipLine, type RowTrace } from './row-trace.ts';
import type { WarpField } from './warp-field.ts';

/** Everything that decides the pixels of one frame. */
interface FrameDrawing {
  readonly picture: Picture;
  readonly field: WarpField;
  readonly pose: HeadPose;
  readonly line: LipLine;
  readonly interior: MouthInterior;
  /** Middle of the closed mouth in the picture plane, where the upper teeth hang. */
  readonly anchor: { readonly across: number; readonly down: number };
  /** Share of the drawn inside of the mouth against the clip's own. */
  readonly share: number;
  /** Brightness of this frame against the one that the inside's colors come from. */
  readonly gain: number;
  readonly mouthWidth: number;
}

interface PictureWriter {
  /** Draws the frame into its picture and returns the bytes written. */
  write(drawing: FrameDrawing): number;
}

/** Shadow of the upper lip on what is behind it: what light is left at the lip's edge, and how far it reaches as a share of the mouth's width. */
const lipShadow = { light: 0.5, reach: 0.055 } as const;
const cornerLight = 0.35;

/** Memory that is kept from frame to frame. */
interface Scratch {
  readonly luma: PlanePatch;
  readonly blue: PlanePatch;
  readonly red: PlanePatch;
  readonly trace: RowTrace;
  readonly color: LayerSample;
}

export function createPictureWriter(): PictureWriter {
  const scratch: Scratch = {
    luma: new PlanePatch(),
    blue: new PlanePatch(),
    red: new PlanePatch(),
    trace: createRowTrace(),
    color: { luma: 0, blue: 0, red: 0, cover: 0 },
  };
  return {
    write(drawing) {
      const { region, columns } = drawing.field;
      copyRegion(scratch, drawing);
      sizeRowTrace(scratch.trace, region.right - region.left, columns);
      let written = 0;
      for (let row = 0; row < region.bottom - region.top; row += 1) written += writeLumaRow(scratch, drawing, row);
      for (let row = 0; row < (region.bottom - region.top) >> 1; row += 1)
        written += writeChromaRow(scratch, drawing, row);
      return written;
    },
  };
}

function copyRegion({ luma, blue, red }: Scratch, { picture, field }: FrameDrawing): void {
  const planes = planesOf(picture);
  const chromaArea = halved(field.region);
  luma.copyFrom(planes.luma, field.region);
  blue.copyFrom(planes.cb, chromaArea);
  red.copyFrom(planes.cr, chromaArea);
}

function writeLumaRow(scratch: Scratch, drawing: FrameDrawing, row: number): number {
  const { luma, trace } = scratch;
  const { picture, field } = drawing;
  const { left, top, right } = field.region;
  const start = (top + row) * picture.width + left;
  traceRow(trace, field, drawing.pose, drawing.line, left, top + row, 1, right - left);
  const { first, end, shiftX, shiftY } = trace;
  warpLumaRow(luma, { row, first, end, shiftX, shiftY }, picture.data, start);
  for (let pixel = trace.lipFirst; pixel < trace.lipEnd; pixel += 1) {
    picture.data[start + pixel] = lumaBetweenLips(scratch, drawing, row, pixel, at(picture.data, start + pixel));
  }
  return Math.max(0, end - first);
}

/** Adds fold and inside of the mouth to the level `moved` of a pixel that the lips' movement has brought there. */
function lumaBetweenLips(
  { luma, trace, color }: Scratch,
  drawing: FrameDrawing,
  row: number,
  pixel: number,
  moved: number,
): number {
  const { left, top } = drawing.field.region;
  const cover = at(trace.cover, pixel);
  const otherShare = at(trace.otherShare, pixel);
  let value = moved;
  if (otherShare > 0)
    value = mix(
      value,
      sampleBilinear(luma, pixel + at(trace.otherX, pixel), row + at(trace.otherY, pixel)),
      otherShare,
    );
  value *= at(trace.light, pixel);
  if (cover > 0) {
    insideColor(drawing, left + pixel, top + row, color);
    const own =
      drawing.share < 1 ? sampleBilinear(luma, pixel + at(trace.insideX, pixel), row + at(trace.insideY, pixel)) : 0;
    value = mix(value, mix(own, color.luma, drawing.share), cover);
  }
  return Math.round(value);
}

function writeChromaRow({ blue, red, trace, color }: Scratch, drawing: FrameDrawing, row: number): number {
  const { picture, field } = drawing;
  const { left, top, right } = field.region;
  const stride = picture.width >> 1;
  const planeBytes = stride * (picture.height >> 1);
  const start = picture.width * picture.height + ((top >> 1) + row) * stride + (left >> 1);
  const x = left + 0.5;
  const y = top + row * 2 + 0.5;
  traceRow(trace, field, drawing.pose, drawing.line, x, y, 2, (right - left) >> 1);
  const { first, end, shiftX, shiftY } = trace;
  warpChromaRow(blue, red, { row, first, end, shiftX, shiftY }, { data: picture.data, start, planeBytes });
  for (let pixel = trace.lipFirst; pixel < trace.lipEnd; pixel += 1) {
    const cover = at(trace.cover, pixel);
    if (cover === 0) continue;
    insideColor(drawing, x + pixel * 2, y, color);
    const ownX = pixel + at(trace.insideX, pixel) / 2;
    const ownY = row + at(trace.insideY, pixel) / 2;
    const ownBlue = sampleBilinear(blue, ownX, ownY);
    const ownRed = sampleBilinear(red, ownX, ownY);
    const index = start + pixel;
    picture.data[index] = Math.round(mix(at(picture.data, index), mix(ownBlue, color.blue, drawing.share), cover));
    picture.data[index + planeBytes] = Math.round(
      mix(at(picture.data, index + planeBytes), mix(ownRed, color.red, drawing.share), cover),
    );
  }
  return Math.max(0, end - first) * 2;
}

const layerColor: LayerSample = { luma: 0, blue: 0, red: 0, cover: 0 };

/** Color of the inside of the mouth at a pixel: the dark, what moves with the jaw before it, the upper teeth before that, all in the lips' shade. */
function insideColor(
  { pose, line, interior, anchor, gain, mouthWidth }: FrameDrawing,
  x: number,
  y: number,
  color: LayerSample,
): void {
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  const u = ((x - pose.originX) * pose.downY - (y - pose.originY) * pose.downX) / determinant;
  const v = ((y - pose.originY) * pose.acrossX - (x - pose.originX) * pose.acrossY) / determinant;
  const { curves } = line;
  const position = clamp((u - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  const upper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), position - k);
  const lower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), position - k);
  color.luma = interior.cavity.luma;
  color.blue = interior.cavity.blue;
  color.red = interior.cavity.red;
  sampleLayer(interior.lower, u - anchor.across, lower - v, layerColor);
  cover(color, layerColor);
  sampleLayer(interior.upper, u - anchor.across, v - anchor.down, layerColor);
  cover(color, layerColor);
  const sideways = Math.abs((2 * position) / (curveSamples - 1) - 1);
  const light =
    mix(lipShadow.light, 1, smoothStep(0, lipShadow.reach * mouthWidth, v - upper)) *
    mix(1, cornerLight, sideways ** 3);
  color.luma = blackLuma + (color.luma * gain - blackLuma) * light;
}

const blackLuma = 16;

function cover(color: LayerSample, layer: Readonly<LayerSample>): void {
  color.luma = mix(color.luma, layer.luma, layer.cover);
  color.blue = mix(color.blue, layer.blue, layer.cover);
  color.red = mix(color.red, layer.red, layer.cover);
}
