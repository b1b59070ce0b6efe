import { fileUrl, inputArguments } from './ffmpeg-arguments.ts';
import { MediaProcess } from './ffmpeg-process.ts';

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
  readonly startMs: number;
  readonly durationMs: number;
  readonly recipe: ReencodeRecipe;
  /** Path of a Matroska file in a private folder; written in place and valid only after this resolves. */
  readonly targetPath: string;
  readonly signal: AbortSignal;
}

/** Encodes picture and sound of a part of a video again. Throws `media_failed` or the abort error. */
export async function reencode(options: ReencodeOptions): Promise<void> {
  const { path, startMs, durationMs, recipe, targetPath, signal } = options;
  const running = new MediaProcess({
    tool: 'ffmpeg',
    arguments: [
      '-y',
      '-ss',
      seconds(startMs),
      ...inputArguments(path),
      '-t',
      seconds(durationMs),
      '-map',
      '0:v:0',
      '-map',
      '0:a:0',
      '-sn',
      '-dn',
      '-pix_fmt',
      'yuv420p',
      ...recipes[recipe],
      '-f',
      'matroska',
      fileUrl(targetPath),
    ],
    idleLimitMs: timeLimitMs,
    signal,
  });
  try {
    await running.within(running.ended);
  } finally {
    await running.stop();
  }
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}
