import { readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../errors/system-error.ts';
import { LipsyncError } from '../errors/index.ts';

const modelSchema = z.object({ name: z.string(), role: z.string(), licence: z.string() });

const manifestSchema = z.object({
  /** Models that come inside installed packages. */
  models: z.array(
    modelSchema.extend({ files: z.array(z.object({ package: z.string(), path: z.string(), sha256: z.string() })) }),
  ),
  /** Models whose weights the user fetches and imports. */
  importable: z.array(modelSchema.extend({ source: z.string() })),
});

export type ModelManifest = Readonly<z.infer<typeof manifestSchema>>;
export type BundledModel = ModelManifest['models'][number];
export type BundledFile = BundledModel['files'][number];

const emptyManifest: ModelManifest = { models: [], importable: [] };

/**
 * The manifest in a folder of models; empty when there is none, as outside of the project. Throws `model_invalid` when
 * it cannot be understood.
 */
export async function readModelManifest(folder: string): Promise<ModelManifest> {
  const path = join(folder, 'manifest.json');
  try {
    return manifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoCode(cause) ?? '')) return emptyManifest;
    throw new LipsyncError(
      'model_invalid',
      `"${path}" is not a manifest of models. Take it from the repository again.`,
      { cause },
    );
  }
}

/** Where a bundled file is installed; null when its package is not. */
export function installedPath({ package: name, path }: BundledFile): string | null {
  try {
    const description = findPackageJSON(name, import.meta.url);
    return description === undefined ? null : join(dirname(description), path);
  } catch {
    return null;
  }
}
