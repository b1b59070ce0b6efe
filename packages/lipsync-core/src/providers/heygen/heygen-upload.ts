import { openAsBlob } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import pRetry from 'p-retry';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { RequestError, type GuardedClient, type GuardedResponse } from '../../net/index.ts';
import { traced } from '../../tracing/spans.ts';
import { hashFile } from '../../storage/file-hash.ts';
import type { HeygenClient } from './heygen-client.ts';
import { createUnacknowledgedError, HeygenError } from './heygen-errors.ts';
import type { DirectUpload } from './heygen-wire.ts';

export interface UploadOptions {
  readonly client: HeygenClient;
  readonly guardedClient: GuardedClient;
  /** Larger files are uploaded directly to HeyGen's storage. */
  readonly simpleUploadMaxBytes: number;
  readonly transferTimeoutMs: number;
  /** Pause before the first retry. */
  readonly retryPauseMs: number;
}

export interface UploadFile {
  readonly path: string;
  readonly name: string;
  readonly contentType: 'video/mp4' | 'audio/wav';
  /** Uploads of the same bytes under the same key are one asset. */
  readonly idempotencyKey: string;
}

/** The storage can report an upload with a delay; HeyGen's own client retries five times as well. */
const completeRetries = 5;
const maxStorageResponseBytes = 1024 ** 2;

/**
 * Uploads a file and returns its asset id: the same one for the same bytes and key, wherever an earlier call stopped.
 * Does not resend bytes that did not arrive; the caller does. Throws `not_supported` for a file that is too large, the
 * errors of the client, `provider_unavailable` or `provider_protocol` for errors of the storage, or the reason of the
 * aborted signal.
 */
export async function uploadFile(file: UploadFile, options: UploadOptions, signal: AbortSignal): Promise<string> {
  const { size: sizeBytes } = await stat(file.path);
  const { sha256 } = await hashFile(file.path, signal);
  // Another machine may encode other bytes; they must not be mistaken for this upload.
  const idempotencyKey = `${file.idempotencyKey}-${sha256.slice(0, 16)}`;
  if (sizeBytes <= options.simpleUploadMaxBytes) {
    const form = new FormData();
    form.append('file', await openAsBlob(file.path, { type: file.contentType }), file.name);
    return options.client.uploadAsset({ form, idempotencyKey }, signal);
  }
  const { name: filename, contentType } = file;
  const upload = await options.client.createDirectUpload(
    { filename, contentType, sizeBytes, sha256, idempotencyKey },
    signal,
  );
  if (upload.max_bytes !== null && sizeBytes > upload.max_bytes) {
    throw new LipsyncError(
      'not_supported',
      `HeyGen accepts files of at most ${upload.max_bytes} bytes, and "${filename}" has ${sizeBytes}. Use a shorter or smaller clip.`,
    );
  }
  await uploadDirectly({ path: file.path, sizeBytes, upload }, options, signal);
  return upload.asset_id;
}

interface DirectUploadInput {
  readonly path: string;
  readonly sizeBytes: number;
  readonly upload: DirectUpload;
}

async function uploadDirectly(input: DirectUploadInput, options: UploadOptions, signal: AbortSignal): Promise<void> {
  const assetId = input.upload.asset_id;
  try {
    await traced('heygen upload', { kind: 'CLIENT' }, () => putFile(input, options, signal));
  } catch (error) {
    if (signal.aborted || error instanceof UploadUrlError) throw error;
    // The upload URL is closed if an earlier call has uploaded the file; its completion then succeeds again.
    await options.client.completeDirectUpload(assetId, signal).catch(() => {
      throw signal.aborted ? abortError(signal) : error;
    });
    return;
  }
  await completeUpload(assetId, options, signal);
}

/** HeyGen returned an upload URL that must not be requested. */
class UploadUrlError extends HeygenError {
  constructor(cause: unknown) {
    super('provider_protocol', 'HeyGen returned an upload URL that cannot be used. Report this error.', { cause });
    this.name = 'UploadUrlError';
  }
}

async function putFile(
  { path, sizeBytes, upload }: DirectUploadInput,
  { guardedClient, transferTimeoutMs }: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  // The file is open before the stream exists: a stream that cannot open it fails without a listener until it is read.
  const content = (await open(path)).createReadStream();
  let response: GuardedResponse;
  try {
    // The signature of the URL covers these headers, so the API key must not be sent.
    response = await guardedClient.request(upload.upload_url, {
      method: 'PUT',
      headers: { ...upload.upload_headers, 'content-length': String(sizeBytes) },
      body: content,
      maxResponseBytes: maxStorageResponseBytes,
      timeoutMs: transferTimeoutMs,
      idleTimeoutMs: transferTimeoutMs,
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof RequestError && error.reason !== 'unknown_host')
      throw createUnacknowledgedError('an upload to its storage', error);
    throw new UploadUrlError(error);
  } finally {
    content.destroy();
  }
  response.body.destroy();
  const { status } = response;
  if (status >= 200 && status < 300) return;
  const isTransient = status >= 500 || status === 408 || status === 429;
  throw new HeygenError(
    isTransient ? 'provider_unavailable' : 'provider_protocol',
    `HeyGen's storage refused an upload with HTTP status ${status}.`,
    { httpStatus: status },
  );
}

/** Retries while the storage does not report the upload; a new attempt would send the whole file again. */
async function completeUpload(
  assetId: string,
  { client, retryPauseMs }: UploadOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pRetry(() => client.completeDirectUpload(assetId, signal), {
      retries: completeRetries,
      minTimeout: retryPauseMs,
      factor: 1.5,
      signal,
      shouldRetry: ({ error }) => isNotVisibleYet(error),
    });
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    if (!isNotVisibleYet(error)) throw error;
    throw new HeygenError('provider_unavailable', "HeyGen's storage does not report the upload. Try again later.", {
      cause: error,
    });
  }
}

function isNotVisibleYet(error: unknown): boolean {
  return error instanceof HeygenError && error.code === 'rate_limited' && error.httpStatus === 409;
}
