import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { encode } from 'cborg';
import { maxTimeStampBytes } from './time-stamp.ts';

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
const mapOf2 = 0xa2;
/** Null, because the payload is elsewhere. */
const detachedPayload = 0xf6;

/** Returns the time stamp of data by an authority; undefined if it has none. */
export type TimeStamper = (data: Buffer) => Promise<Buffer | undefined>;

/** Room for the signature with its certificates, and with a time stamp if there is to be one. */
export function reserveBytesFor({ certificates }: SigningIdentity, isStamped: boolean): number {
  const chainBytes = certificates.reduce((sum, pem) => sum + new X509Certificate(pem).raw.length + 8, 0);
  return chainBytes + 512 + (isStamped ? maxTimeStampBytes : 0);
}

export interface ClaimSigning {
  readonly identity: SigningIdentity;
  readonly stamp: TimeStamper;
}

/**
 * Signs a claim: COSE_Sign1 (RFC 9052) with ES256 and a detached payload, filled up to `sizeBytes`, as C2PA 2.2 section
 * 13.2 requires. The time stamp is one of the signature (`sigTst2`, section 10.3.2.5).
 */
export async function signClaim(
  claim: Uint8Array,
  { identity, stamp }: ClaimSigning,
  sizeBytes: number,
): Promise<Buffer> {
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
  const countersigned = encode(['CounterSignature', header, new Uint8Array(), signature]);
  const token = await stamp(Buffer.from(countersigned));
  const parts = [
    Buffer.from([coseSign1Tag, arrayOf4]),
    encode(header),
    ...(token
      ? [Buffer.from([mapOf2]), encode('sigTst2'), encode({ tstTokens: [{ val: Uint8Array.from(token) }] })]
      : [Buffer.from([mapOf1])]),
    encode('pad'),
  ];
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
