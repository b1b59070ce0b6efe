import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../../src/inference/checkpoints/checkpoint.ts';
import { defaultCheckpointLimits } from '../../../src/inference/checkpoints/limits.ts';
import { LipsyncError } from '../../../src/errors/index.ts';
import { sampleCheckpoint } from './checkpoint-writer.ts';
import { memoryFile } from './checkpoint-files.ts';

/** Opens the checkpoint and reads all tensors; returns the errors. */
async function readEverything(bytes: Buffer): Promise<unknown[]> {
  const thrown: unknown[] = [];
  try {
    const checkpoint = await readCheckpoint(memoryFile(bytes), defaultCheckpointLimits);
    for (const name of checkpoint.tensors.keys())
      await checkpoint.read(name).catch((error: unknown) => thrown.push(error));
  } catch (error) {
    thrown.push(error);
  }
  return thrown;
}

const change = fc.tuple(
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  fc.integer({ min: 0, max: 255 }),
);

describe.each(['legacy', 'zip'] as const)('Mutated %s checkpoint', (format) => {
  it('A checkpoint with random byte changes is read or rejected with model_invalid within one second of CPU time.', async () => {
    const valid = sampleCheckpoint({ format, prefix: 'module.', wrapped: true });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.option(fc.nat(valid.length)),
        async (changes, length) => {
          const bytes = Buffer.from(valid.subarray(0, length ?? valid.length));
          for (const [place, value] of changes) if (bytes.length > 0) bytes[Math.floor(place * bytes.length)] = value;
          const start = process.cpuUsage();
          const thrown = await readEverything(bytes);
          expect(thrown.filter((error) => !LipsyncError.isInstance(error) || error.code !== 'model_invalid')).toEqual(
            [],
          );
          const { user, system } = process.cpuUsage(start);
          expect((user + system) / 1000).toBeLessThan(5_000);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
