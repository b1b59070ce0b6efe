import { createReadStream, openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import pRetry from 'p-retry';
import { abortError, LipsyncError, ProviderError } from '../../errors/index.ts';
import { RequestError, type GuardedClient } from '../../net/index.ts';
import { hashFile } from '../../storage/file-hash.ts';
import type { HeygenClient } from './heygen-client.ts';
import { unansweredError } from './heygen-errors.ts';
import type { DirectUpload } from './heygen-wire.ts';

export interface UploadOptions {
  readonly client: HeygenClient;
  /** Larger files go straight to the vendor's storage. */
  readonly simpleUploadMaxBytes: number;
  readonly transferMs: number;
  /** Before the first repetition. */
  readonly retryPauseMs: number;
  readonly guardedClient: GuardedClient;
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
  const { sha256 } = await hashFile(file.path, signal);
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
  try {
    await putFile(file.path, sizeBytes, target, options, signal);
  } catch (error) {
    if (signal.aborted || error instanceof UploadUrlError) throw error;
    // The place of a file that an earlier call had brought is closed: its completion is answered as it was then.
    await client.completeDirectUpload(target.asset_id, signal).catch(() => {
      throw signal.aborted ? abortError(signal) : error;
    });
    return target.asset_id;
  }
  await completeUpload(target, options, signal);
  return target.asset_id;
}

/** HeyGen returned an upload URL that must not be requested. */
class UploadUrlError extends LipsyncError {
  constructor(cause: unknown) {
    super('provider_protocol', 'HeyGen returned an upload URL that cannot be used. Report this error.', { cause });
    this.name = 'UploadUrlError';
  }
}

async function putFile(
  path: string,
  sizeBytes: number,
  { upload_url: url, upload_headers: headers }: DirectUpload,
  { guardedClient, transferMs }: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  const bytes = createReadStream(path);
  const status = await guardedClient
    .request(url, {
      method: 'PUT',
      headers: { ...headers, 'content-length': String(sizeBytes) },
      body: bytes,
      maxResponseBytes: 1024 ** 2,
      timeoutMs: transferMs,
      idleTimeoutMs: transferMs,
      signal,
    })
    .then(
      (response) => {
        response.body.destroy();
        return response.status;
      },
      (error: unknown) => {
        if (signal.aborted) throw error;
        if (error instanceof RequestError && error.reason !== 'unknown_host')
          throw unansweredError('an upload to its storage', error);
        throw new UploadUrlError(error);
      },
    )
    .finally(() => bytes.destroy());
  if (status >= 200 && status < 300) return;
  const passing = status >= 500 || status === 408 || status === 429;
  throw new ProviderError(
    passing ? 'provider_unavailable' : 'provider_protocol',
    `HeyGen's storage answered an upload with HTTP status ${status}.`,
    { provider: 'heygen', httpStatus: status },
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
  return error instanceof ProviderError && error.code === 'rate_limited' && error.httpStatus === 409;
}
