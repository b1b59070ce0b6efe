import { stat } from 'node:fs/promises';
import { InputNotFoundError, LipsyncError, type ErrorCode } from '../errors/index.ts';
import { isInputRejection, unacceptedFormatOf } from './ffmpeg-process.ts';
import { runProbe, type ProbeOptions, type ProbeReport } from './ffprobe.ts';
import type { MediaLimits } from './media-types.ts';

export interface ProbeContext {
  readonly limits: MediaLimits;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Throws `InputNotFoundError` unless `path` is a readable file, and `emptyCode` for an empty file. `what` names the
 * input in the message.
 */
export async function requireFile(path: string, what: string, emptyCode: ErrorCode): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw new InputNotFoundError(`The ${what} does not exist or cannot be read. Check its path.`, { cause });
  });
  if (!stats.isFile()) throw new InputNotFoundError(`The ${what} is not a file. Specify the path of a media file.`);
  if (stats.size === 0)
    throw new LipsyncError(emptyCode, `The ${what} is an empty file. Use another copy of the file.`);
}

/** Runs ffprobe on an input. Throws `code` for a file that cannot be read, `media_failed`, or the abort error. */
export async function probeInput(
  path: string,
  what: Input,
  code: ErrorCode,
  options: ProbeOptions,
): Promise<ProbeReport> {
  return runProbe(path, options).catch((error: unknown) => {
    const format = unacceptedFormatOf(error);
    throw asUnusable(
      error,
      code,
      format === undefined
        ? `The ${what} cannot be read: it is damaged, truncated, or of an unsupported format. Convert it to ${targetOf(what)}, or use another copy of the file.`
        : describeFormat(what, format),
    );
  });
}

type Input = 'clip' | 'speech audio';

function targetOf(what: Input): string {
  return what === 'clip' ? 'MP4' : 'WAV';
}

/** Formats that consist of references to other files, by ffmpeg's names. */
const playlists = /^(?:hls|concat|dash|imf|image2|webm_dash_manifest)$/;

/** Other formats hold a clip or a speech, but are not read from users. */
function describeFormat(what: Input, format: string): string {
  if (playlists.test(format))
    return `The ${what} is a playlist (${format}) that refers to other files. Use the media file itself.`;
  return `The ${what} has a format that is not accepted (${format}). Convert it to ${targetOf(what)}.`;
}

/** Replaces the rejection of a file by the tool with an error that the user can act on; keeps other errors. */
export function asUnusable(error: unknown, code: ErrorCode, message: string): unknown {
  return isInputRejection(error) ? new LipsyncError(code, message, { cause: error }) : error;
}

/** Throws `code` when an input is longer than the limit. */
export function requireDuration(
  durationS: number,
  { maxDurationMs }: MediaLimits,
  what: string,
  code: ErrorCode,
): void {
  if (durationS * 1000 <= maxDurationMs) return;
  throw new LipsyncError(
    code,
    `The ${what} is longer than ${maxDurationMs / 1000} s. Use a shorter file, or split it.`,
  );
}

/** The `missing` of a file that lacks so much of what it declares. */
export function describeMissing(missingMs: number): { readonly missing?: string } {
  return missingMs > 0 ? { missing: `${(missingMs / 1000).toFixed(1)} s that the file declares` } : {};
}
