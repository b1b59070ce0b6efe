import { createHash, verify, X509Certificate } from 'node:crypto';
import { decode, encode } from 'cborg';

/**
 * Verifies a marked MP4 file as C2PA 2.2 describes it, without the library that reads manifests and without the code
 * that writes them: the COSE signature, the hash of every assertion, and the hash of the file.
 */
export interface SpecificationFindings {
  readonly signatureIsValid: boolean;
  /** The certificate of the signer is issued by the given authority. */
  readonly signerIsTrusted: boolean;
  readonly changedAssertions: readonly string[];
  readonly assertions: readonly string[];
  readonly fileIsUnchanged: boolean;
}

interface Box {
  readonly type: string;
  readonly start: number;
  readonly body: number;
  readonly end: number;
}

interface Exclusion {
  readonly xpath: string;
  readonly data?: readonly { readonly offset: number; readonly value: Uint8Array }[] | null;
}

const manifestUuid = 'd8fec3d61b0e483c92975828877ec481';
// User type, version and flags, purpose "manifest", position of the Merkle trees.
const storeOffset = 16 + 4 + 9 + 8;

export function verifyBySpecification(file: Buffer, authority: string): SpecificationFindings {
  const boxes = boxesIn(file, 0, file.length);
  const holder = boxes.find(({ type, body }) => type === 'uuid' && hex(file, body, 16) === manifestUuid);
  if (!holder) throw new Error('The file has no manifest.');
  const [store] = boxesIn(file, holder.body + storeOffset, holder.end);
  const manifest = childrenOf(file, store).at(-1);
  const claimBytes = contentOf(file, childOf(file, manifest, 'c2pa.claim.v2'));
  const claim = decode(claimBytes);
  const assertions = childrenOf(file, childOf(file, manifest, 'c2pa.assertions'));
  const stated: readonly { url: string; hash: Uint8Array }[] = [
    ...claim.created_assertions,
    ...(claim.gathered_assertions ?? []),
  ];
  const changed = stated.filter(({ url, hash }) => {
    const box = assertions.find((candidate) => url.endsWith(`/${labelOf(file, candidate)}`));
    return !box || !sha256(file.subarray(box.body, box.end)).equals(hash);
  });
  const signature = contentOf(file, childOf(file, manifest, 'c2pa.signature'));
  const [protectedHeader, , payload, raw] = decode(signature, { tags: { 18: (inner) => inner() } });
  const header: Map<number, Uint8Array> = decode(protectedHeader, { useMaps: true });
  const certificate = new X509Certificate(Buffer.from(header.get(33) ?? []));
  const signed = encode(['Signature1', protectedHeader, new Uint8Array(), Uint8Array.from(claimBytes)]);
  const key = { key: certificate.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  return {
    signatureIsValid: payload === null && Number(header.get(1)) === -7 && verify('sha256', signed, key, raw),
    signerIsTrusted: certificate.verify(new X509Certificate(authority).publicKey),
    assertions: assertions.map((box) => labelOf(file, box)),
    changedAssertions: changed.map(({ url }) => url),
    fileIsUnchanged: fileHashMatches(
      file,
      boxes,
      contentOf(file, childOf(file, { ...childOf(file, manifest, 'c2pa.assertions') }, 'c2pa.hash.bmff.v3')),
    ),
  };
}

/** Every top-level box that no exclusion names is hashed, with its position before it as eight bytes. */
function fileHashMatches(file: Buffer, boxes: readonly Box[], assertion: Buffer): boolean {
  const { exclusions, hash } = decode(assertion);
  const digest = createHash('sha256');
  for (const box of boxes) {
    if (exclusions.some((exclusion: Exclusion) => isExcluded(file, box, exclusion))) continue;
    const position = Buffer.alloc(8);
    position.writeBigUInt64BE(BigInt(box.start));
    digest.update(position).update(file.subarray(box.start, box.end));
  }
  return digest.digest().equals(hash);
}

function isExcluded(file: Buffer, { type, start }: Box, { xpath, data }: Exclusion): boolean {
  if (xpath !== `/${type}`) return false;
  return (data ?? []).every(({ offset, value }) =>
    file.subarray(start + offset, start + offset + value.length).equals(value),
  );
}

function boxesIn(bytes: Buffer, start: number, end: number): readonly Box[] {
  const boxes: Box[] = [];
  for (let at = start; at < end;) {
    const short = bytes.readUInt32BE(at);
    const size = short === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : short;
    if (size < 8) throw new Error(`A box at ${at} has size ${size}.`);
    boxes.push({
      type: bytes.toString('latin1', at + 4, at + 8),
      start: at,
      body: at + (short === 1 ? 16 : 8),
      end: at + size,
    });
    at += size;
  }
  return boxes;
}

function childrenOf(bytes: Buffer, parent: Box | undefined): readonly Box[] {
  if (!parent) throw new Error('A superbox is missing.');
  return boxesIn(bytes, parent.body, parent.end).filter(({ type }) => type === 'jumb');
}

function childOf(bytes: Buffer, parent: Box | undefined, label: string): Box {
  const child = childrenOf(bytes, parent).find((box) => labelOf(bytes, box) === label);
  if (!child) throw new Error(`${label} is missing.`);
  return child;
}

function labelOf(bytes: Buffer, superbox: Box): string {
  const [description] = boxesIn(bytes, superbox.body, superbox.end);
  const start = (description?.body ?? 0) + 17;
  return bytes.toString('utf8', start, bytes.indexOf(0, start));
}

function contentOf(bytes: Buffer, superbox: Box): Buffer {
  const [, content] = boxesIn(bytes, superbox.body, superbox.end);
  return bytes.subarray(content?.body, content?.end);
}

function hex(bytes: Buffer, start: number, length: number): string {
  return bytes.toString('hex', start, start + length);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
