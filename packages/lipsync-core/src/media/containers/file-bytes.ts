import { open, type FileHandle } from 'node:fs/promises';

/** A part of a file: its position and its largest length, in bytes. */
export interface BytePart {
  readonly start: number;
  readonly length: number;
}

/** Opens a file for reading while `work` runs. */
export async function withFile<Result>(path: string, work: (file: FileHandle) => Promise<Result>): Promise<Result> {
  const file = await open(path, 'r');
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** Reads a part of a file; less at its end. */
export async function readPart(path: string, part: BytePart): Promise<Buffer> {
  return withFile(path, async (file) => {
    const { size } = await file.stat();
    return readAt(file, { ...part, length: Math.max(0, Math.min(part.length, size - part.start)) });
  });
}

/** Reads a small part of an open file; less at its end. */
export async function readAt(file: FileHandle, { start, length }: BytePart): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, start);
  return buffer.subarray(0, bytesRead);
}

/** Programs that write to a pipe state about this size or a larger one, because they do not know the real one. */
export const unknownSizeBytes = 0x7f_00_00_00;
