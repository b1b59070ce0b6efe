import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { encode } from 'cborg';

/** A private key with the certificates that prove it, as PEM: first the one of the key, then those of its issuers. */
export interface SigningIdentity {
  readonly privateKey: string;
  readonly certificates: readonly string[];
}

/** Header labels and the algorithm of RFC 9053 and RFC 9360. */
const algorithmLabel = 1;
const chainLabel = 33;
const es256 = -7;

/** Initial bytes of CBOR items. */
const coseSign1Tag = 0xd2;
const arrayOf4 = 0x84;
const mapOf1 = 0xa1;
/** Null, because the payload is elsewhere. */
const detachedPayload = 0xf6;

/** Room for the signature with its certificates. */
export function reserveBytesFor({ certificates }: SigningIdentity): number {
  const chainBytes = certificates.reduce((sum, pem) => sum + new X509Certificate(pem).raw.length + 8, 0);
  return chainBytes + 512;
}

/**
 * Signs a claim: COSE_Sign1 (RFC 9052) with ES256 and a detached payload, filled up to `sizeBytes`, as C2PA 2.2 section
 * 13.2 requires.
 */
export function signClaim(claim: Uint8Array, identity: SigningIdentity, sizeBytes: number): Buffer {
  const chain = identity.certificates.map((pem) => Uint8Array.from(new X509Certificate(pem).raw));
  const header = encode(
    new Map<number, unknown>([
      [algorithmLabel, es256],
      [chainLabel, chain.length === 1 ? chain[0] : chain],
    ]),
  );
  const signed = encode(['Signature1', header, new Uint8Array(), Uint8Array.from(claim)]);
  const key = createPrivateKey(identity.privateKey);
  const signature = encode(Uint8Array.from(sign('sha256', signed, { key, dsaEncoding: 'ieee-p1363' })));
  const parts = [Buffer.from([coseSign1Tag, arrayOf4]), encode(header), Buffer.from([mapOf1]), encode('pad')];
  const ends = [Buffer.from([detachedPayload]), signature];
  const filled = sizeBytes - [...parts, ...ends].reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([...parts, padding(filled), ...ends]);
}

/** A byte string of zeros, which with its header is `sizeBytes` long. */
function padding(sizeBytes: number): Buffer {
  const headerBytes = 3;
  const missingBytes = 256 + headerBytes - sizeBytes;
  if (missingBytes > 0) throw new Error(`The reserved room is too small by ${missingBytes} bytes.`);
  const padded = Buffer.alloc(sizeBytes);
  padded[0] = 0x59;
  padded.writeUInt16BE(sizeBytes - headerBytes, 1);
  return padded;
}
