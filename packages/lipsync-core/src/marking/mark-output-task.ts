import { rm } from 'node:fs/promises';
import type { Warning } from '../contract/provider-types.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { blobOfBytes, loadC2pa } from './c2pa-library.ts';
import { reserveBytesFor, type SigningIdentity } from './cose-signature.ts';
import { addIngredients, hasManifest, type Ingredient } from './ingredients.ts';
import { manifestDefinitionOf, type OutputFacts } from './manifest-definition.ts';
import { sealManifest } from './manifest-store.ts';
import { writeMarkedFile } from './marked-file.ts';

export interface MarkOutputInput {
  readonly sourcePath: string;
  readonly targetPath: string;
  /** The inputs as they were sent; null if they are no longer there. */
  readonly clipPath: string | null;
  readonly speechPath: string | null;
  readonly facts: OutputFacts;
  readonly identity: SigningIdentity;
}

const librarySettings = JSON.stringify({
  builder: { thumbnail: { enabled: false } },
  verify: { verify_after_sign: false },
});

/**
 * Copies an MP4 file with a signed manifest, and returns warnings about the manifests of its inputs. The library holds a whole file in memory while it signs; therefore it signs
 * an empty one, and the hash of the real file and the signature replace those of the empty file.
 */
export async function markOutputTask(
  { sourcePath, targetPath, clipPath, speechPath, facts, identity }: MarkOutputInput,
  { signal, resources }: RenderTaskContext,
): Promise<readonly Warning[]> {
  const { Builder } = await resources.get(loadC2pa);
  const reserveSize = reserveBytesFor(identity);
  const ingredients: readonly Ingredient[] = [
    { name: 'clip', relationship: 'parentOf', path: clipPath },
    { name: 'speech', relationship: 'componentOf', path: speechPath },
    ...((await hasManifest(sourcePath))
      ? [{ name: 'take', relationship: 'componentOf', path: sourcePath } as const]
      : []),
  ];
  const placed = ingredients.slice(1).map(({ name }) => name);
  const builder = Builder.fromJson(JSON.stringify(manifestDefinitionOf(facts, placed)), librarySettings);
  try {
    const warnings = await addIngredients(builder, ingredients, facts.id);
    const placeholder = { alg: 'es256', reserveSize, sign: async () => new Uint8Array(reserveSize) };
    const signed = await builder.signAndGetManifestBytes(placeholder, [], 'video/mp4', blobOfBytes(emptyMp4));
    const store = Buffer.from(signed.manifest);
    await writeMarkedFile({
      sourcePath,
      targetPath,
      signal,
      storeBytes: store.length,
      seal(fileHash) {
        sealManifest(store, fileHash, identity);
        return store;
      },
    });
    return warnings;
  } catch (error) {
    await rm(targetPath, { force: true });
    throw error;
  } finally {
    builder.free();
  }
}

const emptyMp4 = Buffer.concat([
  Buffer.from([0, 0, 0, 16]),
  Buffer.from('ftypisom', 'latin1'),
  Buffer.from([0, 0, 2, 0, 0, 0, 0, 8]),
  Buffer.from('mdat', 'latin1'),
]);
