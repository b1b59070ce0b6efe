import fluentFfmpeg from 'fluent-ffmpeg';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool } from './ffmpeg-process.ts';

const listLimitMs = 15_000;

/**
 * Whether this machine's ffmpeg has every one of the named filters. The list is asked for once in a process.
 * Throws `media_failed` when it cannot be had within `limitMs`.
 *
 * This is the one question for which fluent-ffmpeg is used: it knows how ffmpeg's list of filters is laid out. Media
 * goes through `startMediaProcess` instead, because there every process must be limited, stopped and fed frame by frame.
 * What the package starts here cannot be stopped by us; `ffmpeg -filters` reads no file and ends by itself.
 */
export async function hasFilters(names: readonly string[], limitMs: number = listLimitMs): Promise<boolean> {
  const available = await new Promise<fluentFfmpeg.Filters>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new LipsyncError('media_failed', 'ffmpeg did not list its filters in time. Try again.')),
      limitMs,
    );
    fluentFfmpeg.getAvailableFilters((error: Error | null, filters) => {
      clearTimeout(timer);
      if (error)
        reject(
          new LipsyncError('media_failed', 'ffmpeg did not list its filters. Check its installation.', {
            cause: error,
          }),
        );
      else resolve(filters);
    });
  });
  return names.every((name) => name in available);
}

export interface ToolVersions {
  /** Version as the tool states it, or null when it is not installed or does not answer. */
  readonly ffmpeg: string | null;
  readonly ffprobe: string | null;
}

/** Versions of the media tools on this machine. Throws only when aborted. */
export async function toolVersions(signal?: AbortSignal): Promise<ToolVersions> {
  const [ffmpeg, ffprobe] = await Promise.all([toolVersion('ffmpeg', signal), toolVersion('ffprobe', signal)]);
  return { ffmpeg, ffprobe };
}

async function toolVersion(tool: 'ffmpeg' | 'ffprobe', signal?: AbortSignal): Promise<string | null> {
  try {
    const text = await runMediaTool({ tool, arguments: ['-version'], maxBytes: 65_536, idleLimitMs: 10_000, signal });
    return /version (\S+)/.exec(text)?.[1] ?? null;
  } catch (error) {
    if (signal?.aborted) throw error;
    return null;
  }
}
