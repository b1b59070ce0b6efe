import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../../../src/inference/checkpoints/checkpoint.ts';
import { toLipsyncError } from '../../../src/errors/index.ts';

/**
 * Opens a checkpoint and prints the error message and the peak memory as JSON: `node open-and-measure.ts CHECKPOINT`.
 */
const [path = ''] = process.argv.slice(2);
const message = await openCheckpoint(path, { signal: new AbortController().signal }).then(
  async (checkpoint) => {
    await checkpoint.close();
    return null;
  },
  (error: unknown) => toLipsyncError(error).message,
);
// VmHWM, because maxRSS of getrusage starts at the memory of the forking parent.
const peakKibibytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
process.stdout.write(JSON.stringify({ message, peakBytes: peakKibibytes * 1024 }));
