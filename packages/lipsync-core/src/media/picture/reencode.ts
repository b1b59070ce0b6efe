import { canSeek, clipInputArguments, decodeFilter, type DecodeShape, type PictureArea } from './decode-filter.ts';
import { fileUrl, inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { framesPerSecond, type ClipFacts } from '../media-types.ts';

/** Total time for encoding a few seconds, during which ffmpeg reports no progress. */
const timeLimitMs = 300_000;

const recipes = {
  /** What the reference pipeline of SyncNet converts its inputs to, with sound of the MPEG-1 family. */
  mpeg4: ['-c:v', 'mpeg4', '-q:v', '2', '-c:a', 'mp2', '-ar', '48000', '-ac', '2', '-b:a', '192k'],
  /** What a platform makes of an upload. */
  h264: ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '28', '-c:a', 'aac', '-b:a', '96k'],
} as const;

/** Encodings that a listener and a viewer hardly notice. */
export type ReencodeRecipe = keyof typeof recipes;
export const reencodeRecipes: readonly ReencodeRecipe[] = ['mpeg4', 'h264'];

export interface ReencodeOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  /** Frames at the rate of `facts`, end exclusive. */
  readonly range: { readonly start: number; readonly end: number };
  /** The part of the picture to encode. */
  readonly area: PictureArea;
  /** Matroska files in a private folder; written in place and valid only after this resolves. */
  readonly targetPaths: Readonly<Record<ReencodeRecipe, string>>;
  readonly signal: AbortSignal;
}

/**
 * Encodes the picture and the sound of a part of a video again, with every recipe at once. Both start at time 0. Throws
 * `media_failed` or the abort error.
 */
export async function reencode(options: ReencodeOptions): Promise<void> {
  const { path, facts, range, area, targetPaths, signal } = options;
  const { width, height } = area;
  const shape: DecodeShape = {
    width,
    height,
    pixelFormat: 'yuv420p',
    ...range,
    area,
    seek: canSeek(facts),
  };
  const running = new MediaProcess({
    tool: 'ffmpeg',
    arguments: [
      '-y',
      ...clipInputArguments(facts, shape),
      ...inputArguments(path),
      '-filter_complex',
      `${pictureGraph(facts, shape)};${soundGraph(facts, shape)}`,
      ...reencodeRecipes.flatMap((recipe) => [
        '-map',
        `[${recipe}]`,
        '-map',
        `[${recipe}-sound]`,
        '-pix_fmt',
        'yuv420p',
        ...recipes[recipe],
        '-f',
        'matroska',
        fileUrl(targetPaths[recipe]),
      ]),
    ],
    background: true,
    idleLimitMs: timeLimitMs,
    signal,
  });
  try {
    await running.within(running.ended);
  } finally {
    await running.stop();
  }
}

function pictureGraph(facts: ClipFacts, shape: DecodeShape): string {
  const outputs = reencodeRecipes.map((recipe) => `[${recipe}]`);
  return `[0:V:0]${decodeFilter(facts, shape)},setpts=PTS-STARTPTS,split=${outputs.length}${outputs.join('')}`;
}

function soundGraph(facts: ClipFacts, { start, end }: DecodeShape): string {
  const outputs = reencodeRecipes.map((recipe) => `[${recipe}-sound]`);
  const originS = facts.clock?.type === 'container' ? facts.clock.originS : 0;
  const timeOf = (frame: number): number => originS + frame / framesPerSecond(facts.frameRate);
  const cut = `atrim=start=${timeOf(start)}:end=${timeOf(end)},asetpts=PTS-${timeOf(start)}/TB`;
  return `[0:a:0]${cut},asplit=${outputs.length}${outputs.join('')}`;
}
