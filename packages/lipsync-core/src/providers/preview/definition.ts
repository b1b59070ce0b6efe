import { z } from 'zod';
import { join } from 'node:path';
import { defineProvider } from '../definition.ts';
import { createPreviewProvider, previewFacts } from './preview-provider.ts';

/** The landmark-driven mouth renderer, which needs no key, weights or GPU. */
export const previewDefinition = defineProvider({
  id: 'preview',
  kind: 'inline',
  facts: previewFacts,
  license: 'the bundled models are Apache-2.0 and MIT',
  options: { schema: z.strictObject({}), flags: {} },
  settings: {},
  throughput: () => ({ key: 'preview', fixedMs: 1_000, perSecondMs: 650 }),
  configure: (_values, { cacheFolder }) => ({
    missingSetting: null,
    remote: null,
    inspect: async () => ({ device: 'cpu' }),
    diagnose: async () => ({
      name: 'preview',
      state: 'ok',
      detail: 'provider ready; its output is marked degraded',
      advice: '',
    }),
    create: ({ renderPool }) => createPreviewProvider({ renderPool, trackCacheFolder: join(cacheFolder, 'tracks') }),
  }),
});
