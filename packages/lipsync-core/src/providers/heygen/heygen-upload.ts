import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import axios from 'axios';
import pRetry from 'p-retry';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { pinUrl, type PinOptions } from '../../fetch/index.ts';
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
const putRetries = 2;

/**
 * Brings a file to HeyGen and returns its asset's id. Throws `not_supported` for a file that is too large, what the
 * client throws, `provider_unavailable` or `provider_protocol` (the storage refuses), or what `signal` was aborted with.
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
  const target = await client.orderDirectUpload({ filename: file.name, contentType: file.contentType, sizeBytes, sha256, idempotencyKey }, signal);
  if (target.max_bytes !== null && sizeBytes > target.max_bytes) {
    throw new LipsyncError('not_supported', `HeyGen takes files of at most ${target.max_bytes} bytes, and "${file.name}" has ${sizeBytes}. Use a shorter or smaller clip.`);
  }
  await repeated(putRetries, ['provider_unavailable'], () => putFile(file.path, sizeBytes, target, options, signal), options, signal);
  await repeated(completeRetries, ['rate_limited'], () => client.completeDirectUpload(target.asset_id, signal), options, signal);
  return target.asset_id;
}

async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? abortError(signal) : error;
  });
  return hash.digest('hex');
}

/** To the address that HeyGen named, with the headers that it named and no key: they are what the signature covers. */
async function putFile(path: string, sizeBytes: number, target: DirectUpload, { transferMs, hosts }: UploadOptions, signal: AbortSignal): Promise<void> {
  const { url, addresses } = await pinUrl(target.upload_url, hosts).catch((error: unknown) => {
    throw new LipsyncError('provider_protocol', 'HeyGen named a place for the upload that is not to be asked.', { cause: error });
  });
  const bytes = createReadStream(path);
  const { status } = await answered('an upload to its storage', signal, transferMs, (either) => axios.request({
    method: 'PUT',
    url: url.href,
    headers: { 'User-Agent': userAgent, ...target.upload_headers, 'Content-Length': sizeBytes },
    data: bytes,
    lookup: async () => addresses.map(({ address, family }) => ({ address, family })),
    responseType: 'text',
    maxContentLength: 1024 ** 2,
    ...commonOptions,
    signal: either,
  })).finally(() => bytes.destroy());
  if (status >= 200 && status < 300) return;
  const passing = status >= 500 || status === 408 || status === 429;
  throw new LipsyncError(passing ? 'provider_unavailable' : 'provider_protocol', `HeyGen's storage answered an upload with HTTP status ${status}.`, { details: { httpStatus: status } });
}

async function repeated(retries: number, codes: readonly string[], step: () => Promise<void>, { retryPauseMs }: UploadOptions, signal: AbortSignal): Promise<void> {
  try {
    await pRetry(step, {
      retries, minTimeout: retryPauseMs, factor: 1.5, signal, shouldRetry: ({ error }) => LipsyncError.isInstance(error) && codes.includes(error.code),
    });
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  }
}
