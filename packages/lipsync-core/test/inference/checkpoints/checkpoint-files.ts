import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CheckpointFile } from '../../../src/inference/checkpoints/checkpoint-file.ts';
import { openCheckpoint, type Checkpoint } from '../../../src/inference/checkpoints/checkpoint.ts';
import { invalidCheckpoint, type CheckpointLimits } from '../../../src/inference/checkpoints/limits.ts';

/**
 * Writes `bytes` to a temporary file and opens it. The file is unlinked afterwards; the open checkpoint stays readable.
 */
export async function openBytes(
  bytes: Uint8Array,
  limits: Partial<CheckpointLimits> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Checkpoint> {
  const folder = await mkdtemp(join(tmpdir(), 'checkpoint-'));
  try {
    await writeFile(join(folder, 'sample.pth'), bytes);
    return await openCheckpoint(join(folder, 'sample.pth'), { signal, limits });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A file in memory that counts the bytes read. */
export function memoryFile(bytes: Uint8Array): CheckpointFile & { bytesRead(): number } {
  let total = 0;
  return {
    sizeBytes: bytes.length,
    async read(target, position) {
      if (!(position >= 0 && position + target.length <= bytes.length))
        throw invalidCheckpoint(`${target.length} bytes at byte ${position}`, `${bytes.length}`);
      total += target.length;
      target.set(bytes.subarray(position, position + target.length));
    },
    close: async () => {},
    bytesRead: () => total,
  };
}
