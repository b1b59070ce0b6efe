import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { LabelCorner, LabelLanguage } from '../../contract/vocabulary.ts';
import { LipsyncError } from '../../errors/index.ts';
import type { PixelArea } from '../../image/planes.ts';
import { colorArguments, fileUrl, inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import type { ClipFacts, MediaLimits } from '../media-types.ts';
import { probeClip } from '../picture/clip-probe.ts';
import { rawPixelFormat } from '../picture/decode-filter.ts';
import { probeTake } from './take-probe.ts';
import { defaultTakeEncoding, x264Arguments, type TakeEncoding } from './take-encoding.ts';

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

export interface LabelTakeOptions {
  readonly path: string;
  /** Replaced when the copy is complete. */
  readonly targetPath: string;
  readonly label: TakeLabel;
  readonly limits: MediaLimits;
  readonly encoding?: TakeEncoding | undefined;
  readonly signal: AbortSignal;
}

const encodeLimitMs = 900_000;

/**
 * Writes a copy of a finished take with a label: the picture is encoded once more, the sound is copied. Throws
 * `media_failed`, or the abort error, and then leaves no copy.
 */
export async function labelTake({
  path,
  targetPath,
  label,
  limits,
  encoding,
  signal,
}: LabelTakeOptions): Promise<void> {
  const partPath = `${targetPath}.${randomUUID()}.part`;
  const facts = await probeClip(path, { limits, signal });
  try {
    const running = new MediaProcess({
      tool: 'ffmpeg',
      arguments: copyArguments(path, partPath, { label, facts, encoding }),
      idleLimitMs: encodeLimitMs,
      signal,
    });
    try {
      await running.within(running.ended);
    } finally {
      await running.stop();
    }
    const [before, after] = [await probeTake(path, { signal }), await probeTake(partPath, { signal })];
    if (before.frameCount !== after.frameCount)
      throw new LipsyncError('media_failed', 'The labeled take is incomplete. Try again.');
    await rename(partPath, targetPath);
  } finally {
    await rm(partPath, { force: true });
  }
}

function copyArguments(
  path: string,
  partPath: string,
  { label, facts, encoding = defaultTakeEncoding }: Pick<LabelTakeOptions, 'label' | 'encoding'> & { facts: ClipFacts },
): readonly string[] {
  const { width, height, color } = facts;
  const { input, filter } = labelArguments(label, { stream: '0:v:0', index: 1, width, height });
  return [
    '-y',
    ...inputArguments(path),
    ...input,
    ...filter,
    '-map',
    '[labeled]',
    '-map',
    '0:a?',
    '-c:a',
    'copy',
    '-map_metadata',
    '-1',
    '-map_chapters',
    '-1',
    ...x264Arguments(encoding),
    '-pix_fmt',
    rawPixelFormat(color),
    '-fps_mode',
    'passthrough',
    ...colorArguments(color),
    '-movflags',
    '+faststart',
    '-f',
    'mp4',
    fileUrl(partPath),
  ];
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
