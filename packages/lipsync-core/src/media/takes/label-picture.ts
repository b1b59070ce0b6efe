import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LabelCorner, LabelLanguage } from '../../contract/vocabulary.ts';
import type { PixelArea } from '../../image/planes.ts';
import { inputArguments } from '../ffmpeg-arguments.ts';

/** A visible label, which states that the lips are made by a model. */
export interface TakeLabel {
  readonly language: LabelLanguage;
  readonly corner: LabelCorner;
}

/** GB 45438-2025 requires two seconds from the start. */
const shownS = 2;
/** Its letters must be as high as 5 % of the shorter side, and fill about half of the label. */
const heightShare = 0.1;
const marginShare = 0.025;

/** Until when a label is shown. */
export const labelEndMs = shownS * 1000;

/** Returns the area of a label in a picture of this size, in even pixels. Reads the file of the label. */
export function labelAreaOf(
  { language, corner }: TakeLabel,
  { width, height }: { readonly width: number; readonly height: number },
): PixelArea {
  const side = Math.min(width, height);
  const margin = toEven(side * marginShare);
  const labelHeight = toEven(Math.min(side * heightShare, (width - 2 * margin) / aspectOf(language)));
  const labelWidth = toEven(labelHeight * aspectOf(language));
  const left = corner.endsWith('left') ? margin : toEven(width - margin - labelWidth);
  const top = corner.startsWith('top') ? margin : toEven(height - margin - labelHeight);
  return { left, top, right: left + labelWidth, bottom: top + labelHeight };
}

/** Arguments of ffmpeg that draw a label over a stream of pictures. They contain nothing but numbers of ours. */
export interface LabelArguments {
  /** The picture of the label, as the next input. */
  readonly input: readonly string[];
  /** The filter, whose output is `[labeled]`. */
  readonly filter: readonly string[];
}

/** Draws `label` over `stream`, such as `0:v:0`. `index` is that of the next input. */
export function labelArguments(
  label: TakeLabel,
  { stream, index, ...size }: { stream: string; index: number; width: number; height: number },
): LabelArguments {
  const { left, top, right, bottom } = labelAreaOf(label, size);
  const scaled = `[${index}:v]scale=${right - left}:${bottom - top}[label]`;
  const drawn = `[${stream}][label]overlay=x=${left}:y=${top}:enable='lt(t,${shownS})'[labeled]`;
  return {
    input: inputArguments(pictureOf(label.language), 'png_pipe'),
    filter: ['-filter_complex', `${scaled};${drawn}`],
  };
}

function pictureOf(language: LabelLanguage): string {
  return fileURLToPath(new URL(`../../../assets/labels/${language}.png`, import.meta.url));
}

const aspects = new Map<LabelLanguage, number>();

/** Width divided by height, from the header of the PNG file. */
function aspectOf(language: LabelLanguage): number {
  const known = aspects.get(language);
  if (known !== undefined) return known;
  const file = readFileSync(pictureOf(language));
  const aspect = file.readUInt32BE(16) / file.readUInt32BE(20);
  aspects.set(language, aspect);
  return aspect;
}

function toEven(pixels: number): number {
  return Math.max(2, 2 * Math.round(pixels / 2));
}
