import fluentFfmpeg from 'fluent-ffmpeg';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool } from './ffmpeg-process.ts';

const listLimitMs = 15_000;

/**
 * Whether the installed ffmpeg supports all named filters, read once per process with fluent-ffmpeg, which parses the
 * list. The child process cannot be stopped from here, but `ffmpeg -filters` reads no file and ends by itself. Throws
 * `media_failed` when the list is not available within `limitMs`.
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
          new LipsyncError('media_failed', 'ffmpeg cannot list its filters. Check its installation.', {
            cause: error,
          }),
        );
      else resolve(filters);
    });
  });
  return names.every((name) => name in available);
}

export interface ToolVersions {
  /** Version, or null if the tool is not installed or does not respond. */
  readonly ffmpeg: string | null;
  readonly ffprobe: string | null;
}

/** Returns the versions of the installed media tools. Throws only the abort error. */
export async function getToolVersions(signal?: AbortSignal): Promise<ToolVersions> {
  const [ffmpeg, ffprobe] = await Promise.all([getToolVersion('ffmpeg', signal), getToolVersion('ffprobe', signal)]);
  return { ffmpeg, ffprobe };
}

async function getToolVersion(tool: 'ffmpeg' | 'ffprobe', signal?: AbortSignal): Promise<string | null> {
  try {
    const text = await runMediaTool({ tool, arguments: ['-version'], maxBytes: 65_536, idleLimitMs: 10_000, signal });
    return /version (\S+)/.exec(text)?.[1] ?? null;
  } catch (error) {
    if (signal?.aborted) throw error;
    return null;
  }
}
