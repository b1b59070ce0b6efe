import { join } from 'node:path';
import type { CoreConfig } from './config.ts';
import { providerIds, type Method, type ProviderId } from './contract/index.ts';
import { createLipsyncPipeline, type LipsyncPipeline } from './jobs/lipsync-pipeline.ts';
import { systemClock } from './ports/system-ports.ts';
import { createPreviewProvider } from './providers/preview/preview-provider.ts';
import type { Provider } from './providers/provider.ts';
import { createProviderRegistry, methodNotConfigured } from './providers/provider-registry.ts';
import { createRenderPool, type RenderPool } from './render/render-pool.ts';

/** The parts of the core that every host (worker, program, CLI) shares. */
export interface LipsyncCore {
  readonly pipeline: LipsyncPipeline;
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Ends the render processes, running tasks included. */
  close(): Promise<void>;
}

interface ProviderParts {
  readonly renderPool: RenderPool;
  readonly dataDir: string;
}

/** How each provider of this installation is built. */
const providerBuilders: Readonly<Partial<Record<ProviderId, (parts: ProviderParts) => Provider>>> = {
  preview: ({ renderPool, dataDir }) => createPreviewProvider({ renderPool, trackCacheFolder: join(dataDir, 'cache', 'tracks') }),
};

/** For whoever takes orders without rendering. Throws `not_supported` for a method that this installation does not have. */
export function checkMethod(method: Method): void {
  if (method === 'auto' || providerBuilders[method]) return;
  throw methodNotConfigured(method, providerIds.filter((id) => providerBuilders[id]));
}

/** Builds the core from its settings. Starts nothing; processes begin with the first task. */
export function createLipsyncCore(config: Pick<CoreConfig, 'dataDir' | 'maxDurationMs' | 'maxDimensionPx'>): LipsyncCore {
  const renderPool = createRenderPool({ keepWarm: 1, idleMs: 5 * 60_000, cancelGraceMs: 2_000, silenceLimitMs: 3 * 60_000 });
  const builders = providerIds.flatMap((id) => providerBuilders[id] ?? []);
  const registry = createProviderRegistry(builders.map((build) => build({ renderPool, dataDir: config.dataDir })));
  return {
    pipeline: createLipsyncPipeline({
      registry, renderPool, clock: systemClock,
      limits: { maxDurationMs: config.maxDurationMs, maxDimensionPx: config.maxDimensionPx },
    }),
    workFolder: join(config.dataDir, 'work'),
    close: () => renderPool.close(),
  };
}
