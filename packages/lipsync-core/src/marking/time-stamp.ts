import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { LipsyncError } from '../errors/index.ts';
import { GuardedClient } from '../net/index.ts';
import { derOf, derTags, listDer, type DerElement } from './der.ts';

/** A token has the certificates of the authority: some kilobytes. */
export const maxTimeStampBytes = 16_384;

const defaultTimeoutMs = 10_000;

/** An authority that stamps signatures with the time. */
export interface TimeStampAuthority {
  /** The operator chooses it, so that it may be private. */
  readonly url: string;
  /** Time for a stamp; 10 s by default. */
  readonly timeoutMs?: number;
}

const sha256Id = Buffer.from('608648016503040201', 'hex');
const tstInfoId = Buffer.from('2a864886f70d0109100104', 'hex');

/**
 * Requests a time stamp of `data` (RFC 3161) and returns its token. Throws a `LipsyncError` if the authority does not
 * answer in time, or with something else than a stamp of `data`. Only readers check its signature.
 */
export async function requestTimeStamp(
  { url, timeoutMs = defaultTimeoutMs }: TimeStampAuthority,
  data: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const digest = createHash('sha256').update(data).digest();
  const nonce = Buffer.concat([Buffer.from([0x01]), randomBytes(8)]);
  const client = new GuardedClient({ trustedOrigin: new URL(url).origin });
  const { status, body } = await client.request(url, {
    maxResponseBytes: 2 * maxTimeStampBytes,
    timeoutMs,
    idleTimeoutMs: timeoutMs,
    method: 'POST',
    headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
    body: requestOf(digest, nonce),
    signal,
  });
  const answer = await buffer(body);
  if (status !== 200) throw refusal(`answered with the status ${status}`);
  const token = readToken(answer);
  const stated = readStamp(token);
  if (!stated.digest.equals(digest) || !stated.nonce?.equals(nonce)) throw refusal('stamped something else');
  if (token.length > maxTimeStampBytes) throw refusal(`answered with a stamp of ${token.length} bytes`);
  return token;
}

/** TimeStampReq, with the certificate of the authority. */
function requestOf(digest: Buffer, nonce: Buffer): Buffer {
  const algorithm = derOf(derTags.sequence, derOf(derTags.identifier, sha256Id), derOf(derTags.null));
  return derOf(
    derTags.sequence,
    derOf(derTags.integer, Buffer.from([1])),
    derOf(derTags.sequence, algorithm, derOf(derTags.octetString, digest)),
    derOf(derTags.integer, nonce),
    derOf(derTags.boolean, Buffer.from([0xff])),
  );
}

/** TimeStampResp: the status, and the token if it is 0 (granted) or 1 (granted with changes). */
function readToken(answer: Buffer): Buffer {
  try {
    const [response] = listDer(answer);
    const [status, token] = childrenOf(response, derTags.sequence);
    const [code] = childrenOf(status, derTags.sequence);
    const isGranted = code?.tag === derTags.integer && code.content.length === 1 && (code.content[0] ?? 2) < 2;
    if (isGranted && token) return token.bytes;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw refusal('answered with something else than a time stamp');
  }
  throw refusal('refused the request');
}

/** What a token states: the path from ContentInfo through SignedData to TSTInfo. */
function readStamp(token: Buffer): { readonly digest: Buffer; readonly nonce: Buffer | undefined } {
  try {
    const [, outer] = childrenOf(listDer(token)[0], derTags.sequence);
    const [signedData] = childrenOf(outer, derTags.explicit0);
    const [, , encapsulated] = childrenOf(signedData, derTags.sequence);
    const [type, wrapped] = childrenOf(encapsulated, derTags.sequence);
    if (!type?.content.equals(tstInfoId)) throw new RangeError('The token has no TSTInfo.');
    const [info] = childrenOf(childrenOf(wrapped, derTags.explicit0)[0], derTags.octetString);
    const [, , imprint, ...rest] = childrenOf(info, derTags.sequence);
    const [, digest] = childrenOf(imprint, derTags.sequence);
    // The first integer is the serial number.
    const [, nonce] = rest.filter(({ tag }) => tag === derTags.integer);
    return { digest: digest?.content ?? Buffer.alloc(0), nonce: nonce?.content };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw refusal('answered with a damaged time stamp');
  }
}

/** Throws a `RangeError` unless the element has this tag. */
function childrenOf(element: DerElement | undefined, tag: number): readonly DerElement[] {
  if (element?.tag !== tag) throw new RangeError('An element has another type.');
  return listDer(element.content);
}

function refusal(fault: string): LipsyncError {
  return new LipsyncError('fetch_failed', `The time-stamp authority ${fault}.`);
}
