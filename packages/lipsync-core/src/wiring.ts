import { join } from 'node:path';
import type { CoreConfig } from './config.ts';
import { createLipsyncPipeline, type LipsyncPipeline } from './jobs/lipsync-pipeline.ts';
import { systemClock } from './ports/system-ports.ts';
import { createPreviewProvider } from './providers/preview/preview-provider.ts';
import { createProviderRegistry } from './providers/provider-registry.ts';
import { createRenderPool } from './render/render-pool.ts';

/** The parts of the core that every host (worker, program, CLI) shares. */
export interface LipsyncCore {
  readonly pipeline: LipsyncPipeline;
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Ends the render processes, running tasks included. */
  close(): Promise<void>;
}

/** Builds the core from its settings. Starts nothing; processes begin with the first task. */
export function createLipsyncCore(config: Pick<CoreConfig, 'dataDir' | 'maxDurationMs' | 'maxDimensionPx'>): LipsyncCore {
  const renderPool = createRenderPool({ keepWarm: 1, idleMs: 5 * 60_000, cancelGraceMs: 2_000, silenceLimitMs: 3 * 60_000 });
  const registry = createProviderRegistry([
    createPreviewProvider({ renderPool, trackCacheFolder: join(config.dataDir, 'cache', 'tracks') }),
  ]);
  return {
    pipeline: createLipsyncPipeline({
      registry, renderPool, clock: systemClock,
      limits: { maxDurationMs: config.maxDurationMs, maxDimensionPx: config.maxDimensionPx },
    }),
    workFolder: join(config.dataDir, 'work'),
    close: () => renderPool.close(),
  };
}
