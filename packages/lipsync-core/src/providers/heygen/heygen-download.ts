import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { findTakeFault } from '../../media/index.ts';
import { RequestError, type GuardedClient } from '../../net/index.ts';
import { traced } from '../../tracing/spans.ts';
import { requireRoom } from '../../storage/durable-files.ts';
import { HeygenError } from './heygen-errors.ts';

export interface DownloadOptions {
  readonly guardedClient: GuardedClient;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface DownloadTarget {
  readonly url: string;
  /** Created only when the download is complete and probed. */
  readonly takePath: string;
  /** Expected duration of the take. */
  readonly durationMs: number;
}

/** Content types of videos; some storages serve every file as `octet-stream`. */
const videoTypePattern = /^(video\/[\w.+-]+|application\/(mp4|octet-stream)|binary\/octet-stream)$/;

/** A link did not lead to a usable take. A transient problem is `provider_unavailable`: the take is requested again. */
export class TakeDownloadError extends HeygenError {
  /** Whether a new link to the same take may succeed. */
  readonly isTransient: boolean;

  constructor(problem: string, { isTransient, cause }: { readonly isTransient: boolean; readonly cause?: unknown }) {
    if (isTransient)
      super('provider_unavailable', `The video cannot be downloaded at the moment. ${problem}`, { cause });
    else super('provider_protocol', `The video that HeyGen returned cannot be used. ${problem}`, { cause });
    this.name = 'TakeDownloadError';
    this.isTransient = isTransient;
  }
}

/**
 * Downloads a take from an untrusted URL, without the API key, and probes it. Throws a `TakeDownloadError`,
 * `resource_exhausted`, `media_failed`, or the reason of the aborted signal. Leaves no file but the take.
 */
export async function downloadTake(
  { url, takePath, durationMs }: DownloadTarget,
  options: DownloadOptions,
  signal: AbortSignal,
): Promise<void> {
  const partPath = `${takePath}.part`;
  try {
    await traced('heygen download', { kind: 'CLIENT' }, () => downloadTo(partPath, url, options, signal));
    const fault = await findTakeFault(partPath, { durationMs, signal });
    if (fault !== null) throw new TakeDownloadError(fault, { isTransient: false });
    await rename(partPath, takePath);
  } finally {
    await rm(partPath, { force: true });
  }
}

async function downloadTo(
  path: string,
  url: string,
  { guardedClient, maxBytes, timeoutMs, idleTimeoutMs }: DownloadOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    const limits = { maxResponseBytes: maxBytes, timeoutMs, idleTimeoutMs, signal };
    const { body, contentType, contentLength } = await guardedClient.download(url, limits);
    try {
      if (!isVideoType(contentType))
        throw new TakeDownloadError('Its content type is not a video.', { isTransient: false });
      await requireRoom(dirname(path), contentLength ?? 0);
      await pipeline(body, createWriteStream(path), { signal });
    } finally {
      body.destroy();
    }
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    if (!isRequestFailure(error)) throw error;
    throw new TakeDownloadError(error.message, { isTransient: isTransient(error), cause: error });
  }
}

function isVideoType(contentType: string | null): boolean {
  return contentType === null || videoTypePattern.test(contentType.split(';')[0]?.trim().toLowerCase() ?? '');
}

/** Errors of `GuardedClient`. Their codes blame the user who gave the URL; here HeyGen gave it. */
function isRequestFailure(error: unknown): error is LipsyncError {
  return (
    LipsyncError.isInstance(error) &&
    (error instanceof RequestError || ['url_forbidden', 'payload_too_large', 'request_invalid'].includes(error.code))
  );
}

/** The connection failed, or the link has expired; the operation returns a new link. */
function isTransient(error: LipsyncError): boolean {
  if (!(error instanceof RequestError)) return false;
  return error.retryable || error.status === 403 || error.status === 404 || error.status === 410;
}
