import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import axios from 'axios';
import pRetry from 'p-retry';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { pinUrl, type PinOptions } from '../../net/index.ts';
import type { HeygenClient } from './heygen-client.ts';
import { answered, commonOptions, userAgent } from './heygen-http.ts';
import type { DirectUpload } from './heygen-wire.ts';

export interface UploadOptions {
  readonly client: HeygenClient;
  /** Larger files go straight to the vendor's storage. */
  readonly simpleUploadMaxBytes: number;
  readonly transferMs: number;
  /** Before the first repetition. */
  readonly retryPauseMs: number;
  /** What may be asked besides public addresses. */
  readonly hosts: PinOptions;
}

export interface UploadFile {
  readonly path: string;
  readonly name: string;
  readonly contentType: 'video/mp4' | 'audio/wav';
  /** Uploads of the same bytes under the same key are one asset. */
  readonly idempotencyKey: string;
}

/** The storage may need a moment to see what was put into it; the official client asks as often. */
const completeRetries = 5;

/**
 * Brings a file to HeyGen and returns its asset's id; the same one for the same bytes and key, however far an earlier call
 * came. Bytes that did not arrive are not sent again here: whoever ordered it does that. Throws `not_supported` for a file that is too large,
 * what the client throws, `provider_unavailable` or `provider_protocol` (the storage refuses), or what `signal` was aborted
 * with.
 */
export async function uploadFile(file: UploadFile, options: UploadOptions, signal: AbortSignal): Promise<string> {
  const { client, simpleUploadMaxBytes } = options;
  const { size: sizeBytes } = await stat(file.path);
  const sha256 = await hashFile(file.path, signal);
  // Bytes may differ from machine to machine: then it must not be taken for the upload that was begun elsewhere.
  const idempotencyKey = `${file.idempotencyKey}-${sha256.slice(0, 16)}`;
  if (sizeBytes <= simpleUploadMaxBytes) {
    const form = new FormData();
    form.append('file', await openAsBlob(file.path, { type: file.contentType }), file.name);
    return client.uploadAsset({ form, idempotencyKey }, signal);
  }
  const target = await client.orderDirectUpload(
    { filename: file.name, contentType: file.contentType, sizeBytes, sha256, idempotencyKey },
    signal,
  );
  if (target.max_bytes !== null && sizeBytes > target.max_bytes) {
    throw new LipsyncError(
      'not_supported',
      `HeyGen takes files of at most ${target.max_bytes} bytes, and "${file.name}" has ${sizeBytes}. Use a shorter or smaller clip.`,
    );
  }
  const place = await findPlace(target, options);
  try {
    await putFile(file.path, sizeBytes, place, options, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    // The place of a file that an earlier call had brought is closed: its completion is answered as it was then.
    await client.completeDirectUpload(target.asset_id, signal).catch(() => {
      throw signal.aborted ? abortError(signal) : error;
    });
    return target.asset_id;
  }
  await completeUpload(target, options, signal);
  return target.asset_id;
}

async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? abortError(signal) : error;
  });
  return hash.digest('hex');
}

/** Where a file is put: at the address that HeyGen named, with the headers that it named and no key, which is what the signature covers. */
interface UploadPlace extends Awaited<ReturnType<typeof pinUrl>> {
  readonly headers: DirectUpload['upload_headers'];
}

async function findPlace(
  { upload_url: address, upload_headers: headers }: DirectUpload,
  { hosts }: UploadOptions,
): Promise<UploadPlace> {
  const pinned = await pinUrl(address, hosts).catch((error: unknown) => {
    throw new LipsyncError('provider_protocol', 'HeyGen named a place for the upload that is not to be asked.', {
      cause: error,
    });
  });
  return { ...pinned, headers };
}

async function putFile(
  path: string,
  sizeBytes: number,
  { url, addresses, headers }: UploadPlace,
  { transferMs }: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  const bytes = createReadStream(path);
  const { status } = await answered('an upload to its storage', signal, transferMs, (either) =>
    axios.request({
      method: 'PUT',
      url: url.href,
      headers: { 'User-Agent': userAgent, ...headers, 'Content-Length': sizeBytes },
      data: bytes,
      lookup: async () => addresses.map(({ address, family }) => ({ address, family })),
      responseType: 'text',
      maxContentLength: 1024 ** 2,
      ...commonOptions,
      signal: either,
    }),
  ).finally(() => bytes.destroy());
  if (status >= 200 && status < 300) return;
  const passing = status >= 500 || status === 408 || status === 429;
  throw new LipsyncError(
    passing ? 'provider_unavailable' : 'provider_protocol',
    `HeyGen's storage answered an upload with HTTP status ${status}.`,
    { details: { httpStatus: status } },
  );
}

/** Repeats the question here as long as the storage lags behind itself: to begin anew would send the whole file again. */
async function completeUpload(
  { asset_id: assetId }: DirectUpload,
  { client, retryPauseMs }: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pRetry(() => client.completeDirectUpload(assetId, signal), {
      retries: completeRetries,
      minTimeout: retryPauseMs,
      factor: 1.5,
      signal,
      shouldRetry: ({ error }) => isNotSeenYet(error),
    });
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    throw isNotSeenYet(error)
      ? new LipsyncError('provider_unavailable', "HeyGen's storage does not see what was uploaded to it.", {
          cause: error,
        })
      : error;
  }
}

function isNotSeenYet(error: unknown): boolean {
  return LipsyncError.isInstance(error) && error.code === 'rate_limited' && error.details['httpStatus'] === 409;
}
