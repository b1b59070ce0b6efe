import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../../../src/inference/checkpoints/index.ts';
import { toLipsyncError } from '../../../src/errors/index.ts';

/** Opens a checkpoint in this process and prints what came of it and the most memory that it held: `node open-and-measure.ts CHECKPOINT`. */
const [path = ''] = process.argv.slice(2);
const message = await openCheckpoint(path, { signal: new AbortController().signal }).then(
  async (checkpoint) => {
    await checkpoint.close();
    return null;
  },
  (error: unknown) => toLipsyncError(error).message,
);
// The system's other figure for it begins with what the parent held when this process was forked.
const peakKibibytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
process.stdout.write(JSON.stringify({ message, peakBytes: peakKibibytes * 1024 }));
