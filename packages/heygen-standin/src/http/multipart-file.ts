import busboy from 'busboy';
import type { Request } from 'express';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { receiveFile, type ReceivedFile } from '../assets/receive-file.ts';
import { invalidParameter } from './heygen-error.ts';

export interface FormFile {
  readonly name: string;
  /** Undefined when it was larger than allowed. */
  readonly file: ReceivedFile | undefined;
}

/** The one file of a form, under the name `file`, written to `path`. Throws 400 for a form without it or a broken one. */
export async function receiveFormFile(request: Request, path: string, maxBytes: number): Promise<FormFile> {
  let arriving: Promise<FormFile> | undefined;
  try {
    // The parser calls a file cut that is exactly as large as its limit.
    const parser = busboy({
      headers: request.headers,
      limits: { files: 1, fileSize: maxBytes + 1, fields: 8, parts: 10, fieldSize: 4_096, headerPairs: 50 },
    });
    parser.on('file', (field, content, { filename }) => {
      if (field !== 'file' || !filename) return void content.resume();
      arriving = receiveContent(content, path).then((file) => ({ name: filename, file }));
      arriving.catch(() => undefined);
    });
    await pipeline(request, parser);
  } catch (cause) {
    if (arriving === undefined)
      throw invalidParameter(
        'file',
        `The form cannot be read: ${cause instanceof Error ? cause.message : 'unknown reason'}`,
      );
  }
  if (arriving === undefined) throw invalidParameter('file', 'Field required');
  return arriving;
}

/** The parser itself cuts what is too large and reads on, so that the caller can read the refusal. */
async function receiveContent(
  content: Readable & { truncated?: boolean },
  path: string,
): Promise<ReceivedFile | undefined> {
  const file = await receiveFile(content, path, Infinity);
  if (content.truncated !== true) return file;
  await rm(path, { force: true });
  return undefined;
}
