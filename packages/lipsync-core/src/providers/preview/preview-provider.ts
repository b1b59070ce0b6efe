import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import { toLocalTakeInput } from '../local/take-input.ts';
import type { previewTask } from './preview-task.ts';
import type { InlineProvider, ProviderFacts } from '../provider.ts';

export const previewFacts: ProviderFacts = { id: 'preview', degraded: true };

/** Tracks the face, moves the mouth along the mouth curve, and encodes. */
export const previewRenderTask = defineRenderTask<typeof previewTask>('./preview-task', 'previewTask', import.meta.url);

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
      const report = await renderPool.run(previewRenderTask, toLocalTakeInput(request, trackCacheFolder), context);
      return { path: request.takePath, warnings: report.warnings, costMicros: 0 };
    },
  };
}
