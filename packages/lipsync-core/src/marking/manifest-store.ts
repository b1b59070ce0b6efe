import { createHash } from 'node:crypto';
import { decode } from 'cborg';
import { z } from 'zod';
import { listBoxesIn, type Mp4Box } from './mp4-boxes.ts';
import { signClaim, type ClaimSigning } from './cose-signature.ts';

/** A superbox of JUMBF (ISO/IEC 19566-5): a description with a label, and boxes. */
interface LabeledBox {
  readonly label: string;
  readonly box: Mp4Box;
  readonly content: readonly Mp4Box[];
}

const fileHashLabel = 'c2pa.hash.bmff.v3';
const fileHashSchema = z.object({ alg: z.literal('sha256'), hash: z.instanceof(Uint8Array) });

/**
 * Replaces the hash of the file in the active manifest of a store, and signs its claim again. Changes `store` in place;
 * no length changes. Throws when the store is not laid out as the library writes it.
 */
export async function sealManifest(store: Buffer, fileHash: Uint8Array, signing: ClaimSigning): Promise<void> {
  const manifest = activeManifestOf(store);
  const claim = contentOf(store, childOf(manifest, 'c2pa.claim.v2'));
  const hashBox = childOf(readLabeledBox(store, childOf(manifest, 'c2pa.assertions').box), fileHashLabel);
  const earlierDigest = digestOf(store, hashBox);
  const assertion = contentOf(store, hashBox);
  const { hash: earlierHash } = fileHashSchema.parse(decode(assertion));
  replaceOnce(assertion, earlierHash, fileHash);
  replaceOnce(claim, earlierDigest, digestOf(store, hashBox));
  const signature = contentOf(store, childOf(manifest, 'c2pa.signature'));
  (await signClaim(claim, signing, signature.length)).copy(signature);

  function childOf(parent: { readonly content: readonly Mp4Box[] }, label: string): LabeledBox {
    const found = labeledBoxesOf(store, parent.content).find((box) => box.label === label);
    if (!found) throw new Error(`The manifest has no ${label}.`);
    return found;
  }
}

/** The last manifest of a store is the active one (C2PA 2.2, section 11.1.4). */
function activeManifestOf(store: Buffer): LabeledBox {
  const [outer] = listBoxesIn(store, 0, store.length);
  const manifest = outer && labeledBoxesOf(store, readLabeledBox(store, outer).content).at(-1);
  if (!manifest) throw new Error('The store has no manifest.');
  return manifest;
}

function labeledBoxesOf(store: Buffer, boxes: readonly Mp4Box[]): readonly LabeledBox[] {
  return boxes.filter(({ type }) => type === 'jumb').map((box) => readLabeledBox(store, box));
}

/** The description box: a type of 16 bytes, toggles, and the label, which ends with a zero. */
function readLabeledBox(store: Buffer, box: Mp4Box): LabeledBox {
  const [description, ...content] = listBoxesIn(store, box.start + box.headerBytes, box.start + box.sizeBytes);
  if (description?.type !== 'jumd') throw new Error('A superbox has no description.');
  const labelStart = description.start + description.headerBytes + 17;
  const label = store.toString('utf8', labelStart, store.indexOf(0, labelStart));
  return { label, box, content };
}

/** The content of the only box of a superbox, as a view of the store. */
function contentOf(store: Buffer, { content: [inner] }: LabeledBox): Buffer {
  if (!inner) throw new Error('A superbox is empty.');
  return store.subarray(inner.start + inner.headerBytes, inner.start + inner.sizeBytes);
}

/** What a hashed URI refers to: the superbox without its own header (C2PA 2.2, section 8.4.2.3). */
function digestOf(store: Buffer, { box: { start, headerBytes, sizeBytes } }: LabeledBox): Buffer {
  return createHash('sha256')
    .update(store.subarray(start + headerBytes, start + sizeBytes))
    .digest();
}

function replaceOnce(bytes: Buffer, earlier: Uint8Array, later: Uint8Array): void {
  const at = bytes.indexOf(earlier);
  const isOnlyOne = at >= 0 && bytes.indexOf(earlier, at + 1) === -1;
  if (!isOnlyOne || earlier.length !== later.length) throw new Error('A hash cannot be replaced.');
  bytes.set(later, at);
}
