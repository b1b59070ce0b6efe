import { dirname } from 'node:path';
import type { RenderPool } from '../../processes/render-pool.ts';
import type { InlineProvider, ProviderFacts } from '../provider.ts';

export const previewFacts: ProviderFacts = { id: 'preview', degraded: true };

export interface PreviewProviderDependencies {
  readonly renderPool: RenderPool;
  /** Where face tracks are kept between jobs. */
  readonly trackCacheFolder: string;
}

/** Our own landmark-driven mouth renderer: no key, no weights, no GPU, free; its takes are marked `degraded`. */
export function createPreviewProvider({ renderPool, trackCacheFolder }: PreviewProviderDependencies): InlineProvider {
  return {
    kind: 'inline',
    facts: previewFacts,
    async run(request, context) {
      const { clipPath, clipDigest, clip, speechPath, speech, timeline, mouthCurvePath, silenceMode, takePath } =
        request;
      const report = await renderPool.run(
        {
          kind: 'preview',
          clipPath,
          clipDigest,
          clip,
          speechPath,
          speech,
          timeline,
          mouthCurvePath,
          silenceMode,
          takePath,
          trackCacheFolder,
          workFolder: dirname(takePath),
        },
        context,
      );
      return { path: takePath, warnings: report.warnings, costMicros: 0 };
    },
  };
}
