import { stat } from 'node:fs/promises';
import type { CoreConfig } from '../config/core-config.ts';
import { readModelRecord } from '../inference/models/model-record.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { hashFile } from '../storage/file-hash.ts';
import { listInstalled } from './installation.ts';

/** Returns a function that returns the SHA-256 of a provider's model file; null without one or if it cannot be read. */
export function createModelDigests(config: CoreConfig): (provider: string) => Promise<string | null> {
  const paths = new Map(
    listInstalled(config).map(({ definition, configured }) => [definition.id, configured.modelFile]),
  );
  const digests = new Map<string, () => Promise<string | null>>();
  return (provider) => {
    const path = paths.get(provider)?.path ?? null;
    if (path === null) return Promise.resolve(null);
    const digest = digests.get(provider) ?? memoizeAsync(() => digestOf(path).catch(() => null));
    digests.set(provider, digest);
    return digest();
  };
}

/** Import has hashed its models; other files are read once. */
async function digestOf(path: string): Promise<string> {
  const record = await readModelRecord(path);
  const { size } = await stat(path);
  return record?.model.bytes === size ? record.model.sha256 : (await hashFile(path)).sha256;
}
