import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint, type Checkpoint, type CheckpointLimits } from '../../../src/inference/checkpoints/index.ts';

/** Writes `bytes` to a file of its own and opens that. The file is gone afterwards; the open checkpoint still reads it. */
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
