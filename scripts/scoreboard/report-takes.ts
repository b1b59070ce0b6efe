import { basename } from 'node:path';
import type { CoreConfig } from '../../packages/lipsync-core/src/config.ts';
import { renderReport, type ReportedVideo } from '../../packages/lipsync-core/src/quality/report/report-page.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import type { RatedProvider } from './rate-providers.ts';

/** The HTML page about all takes. Measures them again, because a job keeps neither series nor pictures. */
export async function reportTakes(
  providers: readonly RatedProvider[],
  config: CoreConfig,
  signal: AbortSignal,
): Promise<string> {
  const host = createLocalHost(config);
  const videos: ReportedVideo[] = [];
  try {
    for (const { id, takes } of providers) {
      for (const { clip, speech, outputPath, error } of takes) {
        if (error !== null) continue;
        const input = { videoPath: outputPath, audioPath: speech, sourcePath: clip };
        const measured = await host.localQuality.measure(input, { signal, withPictures: true });
        videos.push({ ...measured, name: `${id}: ${basename(clip)} × ${basename(speech)}` });
      }
    }
  } finally {
    await host.close();
  }
  return renderReport(videos);
}
