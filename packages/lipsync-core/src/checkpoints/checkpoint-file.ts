import { open, stat, type FileHandle } from 'node:fs/promises';
import { abortError, LipsyncError } from '../errors/lipsync-error.ts';
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
  const { handle, sizeBytes } = await openRegularFile(path);
  return {
    sizeBytes,
    async read(target, position) {
      requireWithin(sizeBytes, position, target.length);
      for (let done = 0; done < target.length; ) {
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

async function openRegularFile(path: string): Promise<{ handle: FileHandle; sizeBytes: number }> {
  try {
    // Before opening, because opening a named pipe would wait for a writer.
    const { size, ...facts } = await statFacts(path);
    if (!facts.isFile) throw new Error('not a regular file');
    return { handle: await open(path, 'r'), sizeBytes: size };
  } catch (cause) {
    throw unreadable(cause);
  }
}

async function statFacts(path: string): Promise<{ size: number; isFile: boolean }> {
  const facts = await stat(path);
  return { size: facts.size, isFile: facts.isFile() };
}

async function readPiece(handle: FileHandle, piece: Uint8Array, position: number): Promise<number> {
  try {
    return (await handle.read(piece, 0, piece.length, position)).bytesRead;
  } catch (cause) {
    throw unreadable(cause);
  }
}

function requireWithin(sizeBytes: number, position: number, length: number): void {
  if (Number.isSafeInteger(position) && position >= 0 && position + length <= sizeBytes) return;
  throw invalidCheckpoint(`${length} bytes at byte ${position}`, `a file of ${sizeBytes} bytes`);
}

function unreadable(cause: unknown): LipsyncError {
  return new LipsyncError('model_missing', 'The checkpoint is missing or cannot be read. Check its path and permissions.', { cause });
}
