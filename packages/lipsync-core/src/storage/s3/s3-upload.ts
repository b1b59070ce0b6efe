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

/**
 * Uploads a file whose hash is known under a key that `createKey` returns for each try, and compares what the server
 * has stored. Leaves no object and no unfinished upload when it throws, except without a connection. Returns the key.
 */
export async function uploadFile(
  bucket: S3Bucket,
  { path, hash, createKey }: { readonly path: string; readonly hash: FileHash; readonly createKey: () => string },
): Promise<string> {
  const handle = await open(path, 'r');
  try {
    return await pRetry(() => tryUpload(bucket, { handle, hash, key: createKey() }), {
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
}

async function tryUpload(bucket: S3Bucket, upload: Upload): Promise<string> {
  const { key, hash } = upload;
  try {
    const isVerified = hash.sizeBytes <= partBytes ? await putWhole(bucket, upload) : await putParts(bucket, upload);
    if ((await bucket.size(key)) !== hash.sizeBytes) throw storeError('store_corrupted', bucket.url);
    if (!isVerified) await verifyByReading(bucket, upload);
    return key;
  } catch (error) {
    await bucket.delete(key).catch(() => undefined);
    throw error;
  }
}

/** Returns whether the answer proves that the server has these bytes. */
async function putWhole(bucket: S3Bucket, { handle, hash: { sizeBytes }, key }: Upload): Promise<boolean> {
  const content = await readPart(handle, { start: 0, sizeBytes });
  return (await bucket.put(key, content))?.isVerified === true;
}

/** As `putWhole`. */
async function putParts(bucket: S3Bucket, { handle, hash: { sizeBytes }, key }: Upload): Promise<boolean> {
  // `ceil`: larger parts than usual only where there would be too many.
  const size = Math.max(partBytes, Math.ceil(sizeBytes / maxParts));
  const count = Math.ceil(sizeBytes / size);
  const uploadId = await bucket.createUpload(key);
  const stopped = new AbortController();
  const parts: StoredPart[] = [];
  let next = 0;
  const sendParts = async (): Promise<void> => {
    while (next < count && !stopped.signal.aborted) {
      const index = next++;
      const start = index * size;
      const content = await readPart(handle, { start, sizeBytes: Math.min(size, sizeBytes - start) });
      parts[index] = await bucket.uploadPart({ key, uploadId, partNumber: index + 1 }, content, stopped.signal);
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
    await bucket.completeUpload(key, uploadId, parts);
    return parts.every(({ isVerified }) => isVerified);
  } catch (error) {
    await bucket.abortUpload(key, uploadId).catch(() => undefined);
    throw error;
  }
}

async function verifyByReading(bucket: S3Bucket, { key, hash }: Upload): Promise<void> {
  const stored = await bucket.get(key, hash.sizeBytes);
  if (stored && (await hashStream(stored)).sha256 === hash.sha256) return;
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
