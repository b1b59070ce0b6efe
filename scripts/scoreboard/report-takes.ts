import { basename } from 'node:path';
import type { ReportFile } from '../../packages/lipsync-core/src/cli/report-file.ts';
import type { CoreConfig } from '../../packages/lipsync-core/src/config.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import type { RatedProvider } from './rate-providers.ts';

export interface TakesToReport {
  readonly providers: readonly RatedProvider[];
  readonly config: CoreConfig;
  readonly signal: AbortSignal;
}

/** Writes the HTML page about all takes. Measures them again, because a job keeps neither series nor pictures. */
export async function reportTakes(page: ReportFile, { providers, config, signal }: TakesToReport): Promise<void> {
  const host = createLocalHost(config);
  try {
    for (const { id, takes } of providers) {
      for (const { clip, speech, outputPath, error } of takes) {
        if (error !== null) continue;
        const input = { videoPath: outputPath, audioPath: speech, sourcePath: clip };
        const measured = await host.localQuality.measure(input, { signal, withPictures: true });
        page.add(`${id}: ${basename(clip)} × ${basename(speech)}`, measured);
      }
    }
  } finally {
    await host.close();
  }
  await page.write();
}
