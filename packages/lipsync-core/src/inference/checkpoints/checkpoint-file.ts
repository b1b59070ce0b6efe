import type { FileHandle } from 'node:fs/promises';
import { abortError, LipsyncError } from '../../errors/lipsync-error.ts';
import { quoted } from '../../errors/quoted-text.ts';
import { hashStream, type FileHash } from '../../storage/file-hash.ts';
import { openRegularFile } from '../../storage/regular-file.ts';
import { invalidCheckpoint } from './limits.ts';

/** Random access to a file that is never loaded as a whole. */
export interface CheckpointFile {
  readonly sizeBytes: number;
  /**
   * Fills `target` with the bytes at `position`. Throws `model_invalid` when the range exceeds the file,
   * `model_missing` on a read error, and the abort error of the signal.
   */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * `legacy`: five pickles followed by raw storages (PyTorch before 1.6). `zip`: one pickle and one member per storage.
 */
export type CheckpointFormat = 'legacy' | 'zip';

const maxReadBytes = 4 * 1024 * 1024;
const zipSignature = 0x04034b50;
const pickleProtocolOpcode = 0x80;

/** Opens a regular file; the caller closes it. Throws `model_missing` when it cannot be opened. */
export async function openCheckpointFile(path: string, signal: AbortSignal): Promise<CheckpointFile> {
  if (signal.aborted) throw abortError(signal);
  const {
    handle,
    stats: { size: sizeBytes },
  } = await openRegularFile(path, (reason, cause) => unreadable(`The checkpoint ${reason}`, cause));
  return {
    sizeBytes,
    async read(target, position) {
      requireWithin(sizeBytes, position, target.length);
      for (let filled = 0; filled < target.length;) {
        if (signal.aborted) throw abortError(signal);
        const chunk = target.subarray(filled, filled + maxReadBytes);
        const bytesRead = await readChunk(handle, chunk, position + filled);
        if (bytesRead === 0)
          throw invalidCheckpoint(`${sizeBytes} bytes, the size when it was opened`, `${position + filled} bytes`);
        filled += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** Hashes the whole file. Throws the errors of `CheckpointFile.read`. */
export async function hashCheckpointFile(file: CheckpointFile): Promise<FileHash> {
  return hashStream(readChunks(file));
}

/** Each chunk is valid until the next one is read. */
async function* readChunks(file: CheckpointFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(maxReadBytes, file.sizeBytes));
  for (let position = 0; position < file.sizeBytes; position += buffer.length) {
    const chunk = buffer.subarray(0, file.sizeBytes - position);
    await file.read(chunk, position);
    yield chunk;
  }
}

/** Detects the format by the first bytes. Throws `model_invalid` for any other content. */
export async function detectFormat(file: CheckpointFile): Promise<CheckpointFormat> {
  const head = Buffer.alloc(Math.min(file.sizeBytes, 24));
  await file.read(head, 0);
  if (head.length >= 4 && head.readUInt32LE(0) === zipSignature) return 'zip';
  if (head[0] === pickleProtocolOpcode) return 'legacy';
  throw invalidCheckpoint('a PyTorch checkpoint (zip archive or pickle)', describeHead(head));
}

function describeHead(head: Buffer): string {
  if (head.length === 0) return 'an empty file';
  const text = head.toString('latin1');
  // Typical for a download that saved an HTML page or a Git LFS pointer instead of the file.
  return /^[\t\n\r\x20-\x7e]+$/.test(text)
    ? `text that begins with ${quoted(text)}`
    : `bytes that begin with ${head.subarray(0, 8).toString('hex')}`;
}

async function readChunk(handle: FileHandle, chunk: Uint8Array, position: number): Promise<number> {
  try {
    return (await handle.read(chunk, 0, chunk.length, position)).bytesRead;
  } catch (cause) {
    throw unreadable('The checkpoint cannot be read', cause);
  }
}

function requireWithin(sizeBytes: number, position: number, length: number): void {
  if (Number.isSafeInteger(position) && position >= 0 && position + length <= sizeBytes) return;
  throw invalidCheckpoint(`${length} bytes at byte ${position}`, `a file of ${sizeBytes} bytes`);
}

function unreadable(finding: string, cause: unknown): LipsyncError {
  return new LipsyncError('model_missing', `${finding}. Check its path and permissions.`, { cause });
}
