import fluentFfmpeg from 'fluent-ffmpeg';
import { LipsyncError } from '../errors/index.ts';

const filterListLimitMs = 15_000;

/**
 * Whether the installed ffmpeg supports all named filters, read once per process with fluent-ffmpeg, which parses the
 * list. The child process cannot be stopped from here, but `ffmpeg -filters` reads no file and ends by itself. Throws
 * `media_failed` when the list is not available within `limitMs`.
 */
export async function hasFilters(names: readonly string[], limitMs: number = filterListLimitMs): Promise<boolean> {
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
