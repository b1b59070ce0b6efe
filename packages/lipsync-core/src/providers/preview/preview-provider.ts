import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import { toLocalTakeInput } from '../local/take-input.ts';
import type { previewTask } from './preview-task.ts';
import type { InlineProvider, ProviderFacts } from '../provider.ts';

export const previewFacts: ProviderFacts = { id: 'preview', degraded: true };

/** Tracks the face, draws the mouth along the mouth curve, and encodes. */
export const previewRenderTask = defineRenderTask<typeof previewTask>('./preview-task', 'previewTask', import.meta.url);

export interface PreviewProviderDependencies {
  readonly renderPool: RenderPool;
  /** Folder of the face track cache. */
  readonly trackCacheFolder: string;
}

/** Landmark-driven mouth renderer that needs no key, weights or GPU. Its takes are free and marked `degraded`. */
export function createPreviewProvider({ renderPool, trackCacheFolder }: PreviewProviderDependencies): InlineProvider {
  return {
    kind: 'inline',
    facts: previewFacts,
    async run(request, context) {
      const report = await renderPool.run(previewRenderTask, toLocalTakeInput(request, trackCacheFolder), context);
      return { path: request.takePath, warnings: report.warnings, costMicros: 0 };
    },
  };
}
