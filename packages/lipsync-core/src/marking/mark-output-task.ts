import { rm } from 'node:fs/promises';
import type { Warning } from '../contract/provider-types.ts';
import { toLipsyncError, type LipsyncError } from '../errors/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { blobOfBytes, loadC2pa, withoutRequests, type C2paLibrary } from './c2pa-library.ts';
import { reserveBytesFor, type SigningIdentity, type TimeStamper } from './cose-signature.ts';
import { addIngredients, damagedMark, hasManifest, type Ingredient } from './ingredients.ts';
import { manifestDefinitionOf, type OutputFacts } from './manifest-definition.ts';
import { sealManifest } from './manifest-store.ts';
import { writeMarkedFile } from './marked-file.ts';
import { requestTimeStamp, type TimeStampAuthority } from './time-stamp.ts';
import { sourceTypeBox } from './xmp-packet.ts';

export interface MarkOutputInput {
  readonly sourcePath: string;
  readonly targetPath: string;
  /** The file that a vendor returned, if the source is a copy of it; the source by default. */
  readonly vendorTakePath?: string | undefined;
  /** The inputs as they were sent; null if they are no longer there. */
  readonly clipPath: string | null;
  readonly speechPath: string | null;
  readonly facts: OutputFacts;
  readonly identity: SigningIdentity;
  /** Whether the source type is stated as XMP, too. */
  readonly withXmp: boolean;
  /** Name or code of the producer that the label of GB 45438-2025 states; null for none. */
  readonly aigcProducer: string | null;
  /** Null for signatures without a time stamp. */
  readonly timeStampAuthority: TimeStampAuthority | null;
}

const librarySettings = JSON.stringify({
  builder: { thumbnail: { enabled: false } },
  verify: { verify_after_sign: false, ...withoutRequests },
});

/**
 * Copies an MP4 file with a signed manifest, and returns warnings about the manifests of its inputs. The library holds
 * a whole file in memory while it signs; therefore it signs an empty one, and the hash of the real file and the
 * signature replace those of the empty file.
 */
export async function markOutputTask(
  {
    sourcePath,
    vendorTakePath = sourcePath,
    targetPath,
    clipPath,
    speechPath,
    facts,
    identity,
    withXmp,
    aigcProducer,
    timeStampAuthority,
  }: MarkOutputInput,
  { signal, resources }: RenderTaskContext,
): Promise<readonly Warning[]> {
  const library = await resources.get(loadC2pa);
  const ingredients: readonly Ingredient[] = [
    { name: 'clip', relationship: 'parentOf', path: clipPath },
    { name: 'speech', relationship: 'componentOf', path: speechPath },
    ...((await hasManifest(vendorTakePath))
      ? [{ name: 'take', relationship: 'componentOf', path: vendorTakePath } as const]
      : []),
  ];
  const stampWarnings: Warning[] = [];
  const stamp: TimeStamper = async (data) => {
    try {
      return timeStampAuthority ? await requestTimeStamp(timeStampAuthority, data, signal) : undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      stampWarnings.push(notStamped(toLipsyncError(error)));
      return undefined;
    }
  };
  // A take whose lips were not changed is not made by a model.
  const isSynthetic = facts.provider !== null;
  try {
    const reserveBytes = reserveBytesFor(identity, timeStampAuthority !== null);
    const { store, warnings } = await buildStore(library, { facts, ingredients, reserveBytes });
    await writeMarkedFile({
      sourcePath,
      targetPath,
      signal,
      storeBytes: store.length,
      xmpBox: withXmp && isSynthetic ? sourceTypeBox() : null,
      aigcLabel: aigcProducer !== null && isSynthetic ? { producer: aigcProducer, produceId: facts.id } : null,
      async seal(fileHash) {
        await sealManifest(store, fileHash, { identity, stamp });
        return store;
      },
    });
    return [...warnings, ...stampWarnings];
  } catch (error) {
    await rm(targetPath, { force: true });
    throw error;
  }
}

function notStamped({ message }: LipsyncError): Warning {
  return {
    code: 'output_not_time_stamped',
    message: `The signature has no time stamp, so it is valid only until its certificate expires. ${message}`,
  };
}

interface StoreOptions {
  readonly facts: OutputFacts;
  readonly ingredients: readonly Ingredient[];
  /** Room for the signature. */
  readonly reserveBytes: number;
}

/** Returns the store of the empty file. If the manifest of an input cannot be built into it, no input's manifest is. */
async function buildStore(
  { Builder }: Pick<C2paLibrary, 'Builder'>,
  { facts, ingredients, reserveBytes }: StoreOptions,
): Promise<{ readonly store: Buffer; readonly warnings: readonly Warning[] }> {
  const placed = ingredients.slice(1).map(({ name }) => name);
  const builder = Builder.fromJson(JSON.stringify(manifestDefinitionOf(facts, placed)), librarySettings);
  try {
    const { warnings, marked } = await addIngredients(builder, ingredients, facts.id);
    const placeholder = { alg: 'es256', reserveSize: reserveBytes, sign: async () => new Uint8Array(reserveBytes) };
    try {
      const signed = await builder.signAndGetManifestBytes(placeholder, [], 'video/mp4', blobOfBytes(emptyMp4));
      return { store: Buffer.from(signed.manifest), warnings };
    } catch (error) {
      if (marked.length === 0) throw error;
    }
    const unmarked = ingredients.map((one) => (marked.includes(one.name) ? { ...one, path: null } : one));
    const plain = await buildStore({ Builder }, { facts, ingredients: unmarked, reserveBytes });
    return { ...plain, warnings: [...marked.map(damagedMark), ...plain.warnings] };
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
