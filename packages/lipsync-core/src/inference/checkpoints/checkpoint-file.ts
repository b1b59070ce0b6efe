import type { FileHandle } from 'node:fs/promises';
import { abortError, LipsyncError } from '../../errors/lipsync-error.ts';
import { hashStream } from '../../storage/file-hash.ts';
import { openRegularFile } from '../../storage/regular-file.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';

/** A file that is read by position, never as a whole. */
export interface CheckpointFile {
  readonly sizeBytes: number;
  /**
   * Fills `target` with the bytes from `position` on. Throws `model_invalid` when the file does not reach that far,
   * `model_missing` when the system cannot read it, and what the signal was aborted with.
   */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

const largestReadBytes = 4 * 1024 * 1024;

/** Opens a regular file. The caller closes it. Throws `model_missing` when it cannot be read. */
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
      for (let done = 0; done < target.length;) {
        if (signal.aborted) throw abortError(signal);
        const piece = target.subarray(done, done + largestReadBytes);
        const bytesRead = await readPiece(handle, piece, position + done);
        if (bytesRead === 0) throw invalidCheckpoint(`${sizeBytes} bytes as when it was opened`, `${position + done}`);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** The digest of all its bytes, in hexadecimal digits. Throws as `read`. */
export async function hashCheckpointFile(file: CheckpointFile): Promise<string> {
  return (await hashStream(readPieces(file))).sha256;
}

/** Each piece is valid until the next one is read. */
async function* readPieces(file: CheckpointFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(largestReadBytes, file.sizeBytes));
  for (let position = 0; position < file.sizeBytes; position += buffer.length) {
    const piece = buffer.subarray(0, file.sizeBytes - position);
    await file.read(piece, position);
    yield piece;
  }
}

async function readPiece(handle: FileHandle, piece: Uint8Array, position: number): Promise<number> {
  try {
    return (await handle.read(piece, 0, piece.length, position)).bytesRead;
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
