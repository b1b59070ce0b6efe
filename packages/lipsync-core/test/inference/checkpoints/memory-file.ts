import { invalidCheckpoint } from '../../../src/inference/checkpoints/checkpoint-errors.ts';
import type { CheckpointFile } from '../../../src/inference/checkpoints/checkpoint-file.ts';

/** A file in memory that counts the bytes that are asked of it. */
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
