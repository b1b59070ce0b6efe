import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError, ProviderError } from '../../errors/index.ts';
import { RequestError, type GuardedClient } from '../../net/index.ts';
import { findTakeFault } from '../../media/index.ts';

export interface DownloadOptions {
  readonly guardedClient: GuardedClient;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface DownloadTarget {
  readonly url: string;
  /** Gets its name when it is whole and was looked through. */
  readonly takePath: string;
  /** How long the take was to be. */
  readonly durationMs: number;
}

/** Types under which a video is served; some storages know none. */
const videoTypes = /^(video\/[\w.+-]+|application\/(mp4|octet-stream)|binary\/octet-stream)$/;

/**
 * Fetches a finished take from an untrusted URL, without the key, and looks through it. Throws `provider_protocol` when
 * that URL brings no usable take (see `TakeDownloadError.isTransient`), `resource_exhausted`, `media_failed`, or
 * what `signal` was aborted with. Leaves nothing but the take.
 */
export async function downloadTake(
  { url, takePath, durationMs }: DownloadTarget,
  options: DownloadOptions,
  signal: AbortSignal,
): Promise<void> {
  const partPath = `${takePath}.part`;
  try {
    await fetchFile(url, partPath, options, signal);
    const fault = await findTakeFault(partPath, { durationMs, signal });
    if (fault !== null) throw refused(fault);
    await rename(partPath, takePath);
  } finally {
    await rm(partPath, { force: true });
  }
}

async function fetchFile(
  url: string,
  path: string,
  { guardedClient, maxBytes, timeoutMs, idleTimeoutMs }: DownloadOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    const limits = { maxResponseBytes: maxBytes, timeoutMs, idleTimeoutMs, signal };
    const { body, contentType } = await guardedClient.download(url, limits);
    if (!isVideoType(contentType)) {
      body.destroy();
      throw refused('It is not served as a video.');
    }
    await pipeline(body, createWriteStream(path), { signal });
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    throw isFetchFailure(error) ? refused(error.message, error) : error;
  }
}

function isVideoType(contentType: string | null): boolean {
  return contentType === null || videoTypes.test(contentType.split(';')[0]?.trim().toLowerCase() ?? '');
}

/** A link brought no usable take. */
export class TakeDownloadError extends ProviderError {
  /** Whether a new link to the same take may work. */
  readonly isTransient: boolean;

  constructor(message: string, { isTransient, cause }: { readonly isTransient: boolean; readonly cause: unknown }) {
    super('provider_protocol', message, { provider: 'heygen', cause });
    this.name = 'TakeDownloadError';
    this.isTransient = isTransient;
  }
}

function refused(fault: string, cause?: LipsyncError): TakeDownloadError {
  const isTransient = cause !== undefined && mayPass(cause);
  return new TakeDownloadError(`What HeyGen made cannot be used. ${fault}`, { isTransient, cause });
}

/** The codes of `GuardedClient`: final for a URL that a user gave, but this one the vendor gave. */
function isFetchFailure(error: unknown): error is LipsyncError {
  return (
    LipsyncError.isInstance(error) &&
    ['fetch_failed', 'url_forbidden', 'payload_too_large', 'request_invalid'].includes(error.code)
  );
}

/** The line broke, or the link has expired: the operation has another one. */
function mayPass(error: LipsyncError): boolean {
  if (!(error instanceof RequestError)) return false;
  return error.retryable || error.status === 403 || error.status === 404 || error.status === 410;
}
