import { open, type FileHandle } from 'node:fs/promises';
import pRetry from 'p-retry';
import { StorageError } from '../../errors/index.ts';
import { hashStream, type FileHash } from '../file-hash.ts';
import type { S3Bucket, StoredPart } from './s3-bucket.ts';
import { storeError } from './s3-errors.ts';

/** Size of all parts but the last, which R2 requires to be equal. Smaller objects are sent in one request. */
const partBytes = 8 * 1024 ** 2;
/** With `partBytes`, the memory of one upload. */
const parallelParts = 2;
/** S3 takes no more parts. */
const maxParts = 10_000;
/** Tries to store bytes that arrive damaged. */
const maxTries = 3;
/** For each request that deletes what a failed or canceled upload has stored: a worker that stops waits for them. */
const cleanUpLimitMs = 2_500;

export interface FileUpload {
  readonly path: string;
  readonly hash: FileHash;
  /** Returns the key of each try. */
  readonly createKey: () => string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Uploads a file whose hash is known, and compares what the server has stored. Leaves no object and no unfinished upload
 * when it throws, unless the server no longer answers. Throws the reason of the signal. Returns the key.
 */
export async function uploadFile(bucket: S3Bucket, { path, hash, createKey, signal }: FileUpload): Promise<string> {
  const handle = await open(path, 'r');
  try {
    return await pRetry(() => tryUpload(bucket, { handle, hash, key: createKey(), signal }), {
      retries: maxTries - 1,
      minTimeout: 0,
      shouldRetry: ({ error }) => error instanceof StorageError && error.code === 'store_corrupted',
    });
  } finally {
    await handle.close();
  }
}

interface Upload {
  readonly handle: FileHandle;
  readonly hash: FileHash;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

async function tryUpload(bucket: S3Bucket, upload: Upload): Promise<string> {
  const { key, hash, signal } = upload;
  try {
    const isVerified = hash.sizeBytes <= partBytes ? await putWhole(bucket, upload) : await putParts(bucket, upload);
    if ((await bucket.size(key, signal)) !== hash.sizeBytes) throw storeError('store_corrupted', bucket.url);
    if (!isVerified) await verifyByReading(bucket, upload);
    return key;
  } catch (error) {
    await bucket.delete(key, AbortSignal.timeout(cleanUpLimitMs)).catch(() => undefined);
    throw error;
  }
}

/** Returns whether the answer proves that the server has these bytes. */
async function putWhole(bucket: S3Bucket, { handle, hash: { sizeBytes }, key, signal }: Upload): Promise<boolean> {
  const content = await readPart(handle, { start: 0, sizeBytes });
  return (await bucket.put(key, content, { signal }))?.isVerified === true;
}

/** As `putWhole`. */
async function putParts(bucket: S3Bucket, { handle, hash: { sizeBytes }, key, signal }: Upload): Promise<boolean> {
  // `ceil`: larger parts than usual only where there would be too many.
  const size = Math.max(partBytes, Math.ceil(sizeBytes / maxParts));
  const count = Math.ceil(sizeBytes / size);
  const uploadId = await bucket.createUpload(key, signal);
  const stopped = new AbortController();
  const partSignal = signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal;
  const parts: StoredPart[] = [];
  let next = 0;
  const sendParts = async (): Promise<void> => {
    while (next < count && !partSignal.aborted) {
      const index = next++;
      const start = index * size;
      const content = await readPart(handle, { start, sizeBytes: Math.min(size, sizeBytes - start) });
      parts[index] = await bucket.uploadPart({ key, uploadId, partNumber: index + 1 }, content, partSignal);
    }
  };
  try {
    await Promise.all(
      Array.from({ length: parallelParts }, () =>
        sendParts().catch((error: unknown) => {
          stopped.abort(error);
          throw error;
        }),
      ),
    );
    const isAnswered = await bucket.completeUpload({ key, uploadId }, parts, signal);
    return isAnswered && parts.every(({ isVerified }) => isVerified);
  } catch (error) {
    await bucket.abortUpload(key, uploadId, AbortSignal.timeout(cleanUpLimitMs)).catch(() => undefined);
    throw error;
  }
}

async function verifyByReading(bucket: S3Bucket, { key, hash, signal }: Upload): Promise<void> {
  const stored = await bucket.get(key, hash.sizeBytes, { signal });
  if (stored && (await hashStream(stored, signal)).sha256 === hash.sha256) return;
  throw storeError('store_corrupted', bucket.url);
}

async function readPart(
  handle: FileHandle,
  { start, sizeBytes }: { readonly start: number; readonly sizeBytes: number },
): Promise<Buffer> {
  const content = Buffer.allocUnsafe(sizeBytes);
  const { bytesRead } = await handle.read(content, 0, sizeBytes, start);
  if (bytesRead !== sizeBytes) throw new Error('A file changed while it was uploaded.');
  return content;
}
