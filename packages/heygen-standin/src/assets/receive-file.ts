import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import busboy from 'busboy';
import type { Request } from 'express';
import { HeygenError, invalidParameter } from '../http/answer.ts';
import { isLoopbackUrl } from '../http/loopback-server.ts';

export interface ReceivedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** The first bytes, from which `detectType` determines the type. */
  readonly head: Buffer;
}

const headBytes = 16;
const downloadTimeoutMs = 15_000;

/**
 * Writes a stream to `path`. Returns undefined and destroys the stream when it exceeds `maxBytes`. Throws the error of
 * the stream or the disk. Leaves no file unless it returns one.
 */
export async function receiveFile(source: Readable, path: string, maxBytes: number): Promise<ReceivedFile | undefined> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let head: Buffer = Buffer.alloc(0);
  const tooLarge = new Error('too large');
  async function* measure(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge;
      if (head.length < headBytes) head = Buffer.concat([head, chunk]).subarray(0, headBytes);
      hash.update(chunk);
      yield chunk;
    }
  }
  try {
    await pipeline(source, measure, createWriteStream(path));
  } catch (error) {
    await rm(path, { force: true });
    if (error === tooLarge) return undefined;
    throw error;
  }
  return { path, sizeBytes, sha256: hash.digest('hex'), head };
}

/**
 * Downloads a file from a URL on this machine. Throws 400 `download_failed` for another host, a redirect, an error
 * status, a file above `maxBytes`, and after 15 s.
 */
export async function downloadFile(
  { param, url }: { readonly param: 'audio' | 'video'; readonly url: string },
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<ReceivedFile> {
  try {
    if (!isLoopbackUrl(url)) throw new TypeError('the stand-in downloads from this machine only');
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(downloadTimeoutMs)]),
    });
    if (!response.ok || response.body === null) throw new TypeError(`it responded with status ${response.status}`);
    const file = await receiveFile(Readable.fromWeb(response.body), path, maxBytes);
    if (file === undefined) throw new TypeError('it is too large');
    return file;
  } catch (cause) {
    signal.throwIfAborted();
    throw new HeygenError(
      400,
      'download_failed',
      `Failed to download ${param} from url, please check the url is valid or the ${param} is public (${reasonOf(cause)})`,
      { param },
    );
  }
}

export interface FormFile {
  readonly name: string;
  /** Undefined when the file exceeds the limit. */
  readonly file: ReceivedFile | undefined;
}

/** Writes the form field `file` to `path`. Throws 400 for a form that lacks it or cannot be parsed. */
export async function receiveFormFile(request: Request, path: string, maxBytes: number): Promise<FormFile> {
  let receiving: Promise<FormFile> | undefined;
  try {
    // Busboy marks a file of exactly `fileSize` bytes as truncated, so its limit is one byte higher.
    const parser = busboy({
      headers: request.headers,
      limits: { files: 1, fileSize: maxBytes + 1, fields: 8, parts: 10, fieldSize: 4_096, headerPairs: 50 },
    });
    parser.on('file', (field, content, { filename }) => {
      if (field !== 'file' || !filename) return void content.resume();
      receiving = receiveContent(content, path).then((file) => ({ name: filename, file }));
      receiving.catch(() => undefined);
    });
    await pipeline(request, parser);
  } catch (cause) {
    if (receiving === undefined) throw invalidParameter('file', `Invalid form: ${reasonOf(cause)}`);
  }
  if (receiving === undefined) throw invalidParameter('file', 'Field required');
  return receiving;
}

/** Lets the parser discard the excess of a file that is too large, so that the client reads the error response. */
async function receiveContent(
  content: Readable & { truncated?: boolean },
  path: string,
): Promise<ReceivedFile | undefined> {
  const file = await receiveFile(content, path, Infinity);
  if (content.truncated !== true) return file;
  await rm(path, { force: true });
  return undefined;
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'unknown reason';
}

/** Determines the type of a file that HeyGen accepts from its first bytes; undefined for other types. */
export function detectType(head: Buffer): string | undefined {
  const text = head.toString('latin1');
  if (text.startsWith('\x89PNG')) return 'image/png';
  if (text.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (text.startsWith('%PDF')) return 'application/pdf';
  if (text.startsWith('\x1aE\xdf\xa3')) return 'video/webm';
  if (text.startsWith('RIFF') && text.startsWith('WAVE', 8)) return 'audio/wav';
  if (text.startsWith('ID3') || isMp3Frame(head)) return 'audio/mpeg';
  // QuickTime and M4A files start with the same box, with other brands.
  if (text.startsWith('ftyp', 4) && !/^(qt {2}|M4A )/.test(text.slice(8))) return 'video/mp4';
  return undefined;
}

/** Eleven sync bits, then layer III. ADTS AAC has the same sync bits and no layer. */
function isMp3Frame(head: Buffer): boolean {
  const second = head[1] ?? 0;
  return head[0] === 0xff && (second & 0xe0) === 0xe0 && (second & 0x06) === 0x02;
}
