import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { CoreConfig } from '../config/core-config.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { isReady } from '../providers/registry.ts';
import { hashFile } from '../storage/file-hash.ts';
import { listInstalled } from './installation.ts';
import { listQualityModels } from './quality-models.ts';

export type EngineConfig = Pick<
  CoreConfig,
  | 'allowedPrivateHosts'
  | 'dataDir'
  | 'dnsmosModelPath'
  | 'encoding'
  | 'gpuEnabled'
  | 'marking'
  | 'minSyncScore'
  | 'providers'
  | 'qualityEnabled'
  | 'speakerModelPath'
  | 'syncnetModelPath'
>;

const codeFolder = join(import.meta.dirname, '..');

/**
 * Digest of everything except a request that decides an output and its quality: the code of this package, the usable
 * providers with their models, and the settings of encoding, marking and quality. Reads every model file once. A model
 * that cannot be read counts as missing.
 */
export async function readEngineVersion(config: EngineConfig, signal?: AbortSignal): Promise<string> {
  const { encoding, marking, minSyncScore, qualityEnabled } = config;
  const ready = listInstalled(config).filter(isReady);
  const providers = await inOrder(ready, async ({ definition, configured }) => [
    definition.id,
    configured.takeSettings ?? null,
    await digestOf(configured.modelFile?.path ?? null, signal),
  ]);
  const models = await inOrder(qualityEnabled ? listQualityModels(config) : [], async ({ name, path }) => [
    name,
    await digestOf(path, signal),
  ]);
  const code = await digestOfCode();
  const parts = { code, providers, models, encoding, marking: marksOf(marking), minSyncScore, qualityEnabled };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** What decides the content of outputs. Another signer makes no other output. */
function marksOf({ aigcProducer, isEnabled, label, timeStampUrl, withXmp }: EngineConfig['marking']): object {
  return { aigcProducer, isEnabled, label, timeStampUrl, withXmp };
}

/** The code stays the same while the process runs. */
const digestOfCode = memoizeAsync(async () => {
  const entries = await readdir(codeFolder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && !/\.test\.\w+$|\.d\.ts$|\.map$/.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
    .toSorted();
  const files = await Promise.all(paths.map((path) => readFile(path)));
  const hash = createHash('sha256');
  for (const [index, file] of files.entries())
    hash.update(`${relative(codeFolder, paths[index] ?? '')}\n${file.byteLength}\n`).update(file);
  return hash.digest('hex');
});

async function digestOf(path: string | null, signal: AbortSignal | undefined): Promise<string | null> {
  if (path === null) return null;
  try {
    return (await hashFile(path, signal)).sha256;
  } catch (error) {
    if (signal?.aborted) throw error;
    return null;
  }
}

/** One after the other, so that hashing large files does not take several threads from renderings. */
async function inOrder<Item, Value>(
  items: readonly Item[],
  read: (item: Item) => Promise<Value>,
): Promise<readonly Value[]> {
  const values: Value[] = [];
  for (const item of items) values.push(await read(item));
  return values;
}
