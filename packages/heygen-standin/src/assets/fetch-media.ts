import { Readable } from 'node:stream';
import { HeygenError } from '../http/heygen-error.ts';
import { isLoopbackUrl } from '../http/loopback.ts';
import { receiveFile, type ReceivedFile } from './receive-file.ts';

const timeLimitMs = 15_000;

/**
 * Brings a file from a URL on this machine to `path`. Throws 400 `download_failed` for any other host, a redirect, an
 * answer that is no success, more than `maxBytes`, or after 15 s.
 */
export async function fetchMedia(
  param: 'audio' | 'video',
  url: string,
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<ReceivedFile> {
  try {
    if (!isLoopbackUrl(url)) throw new TypeError('the stand-in fetches from this machine only');
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)]),
    });
    if (!response.ok || response.body === null) throw new TypeError(`it answered ${response.status}`);
    const file = await receiveFile(Readable.fromWeb(response.body), path, maxBytes);
    if (file === undefined) throw new TypeError('it is too large');
    return file;
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : 'unknown reason';
    throw new HeygenError(
      400,
      'download_failed',
      `Failed to download ${param} from url, please check the url is valid or the ${param} is public (${reason})`,
      { param },
    );
  }
}
