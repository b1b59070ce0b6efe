import { totalmem } from 'node:os';
import { readCpuShare } from '@lipsync/core/host';

/** A render by the Wav2Lip engine on the CPU, with ffmpeg: docs/measurements.md has the peak at 720p; the rest is a reserve. */
const bytesPerRender = 1_280 * 2 ** 20;
/** The worker itself, without renders. */
const bytesOfWorker = 512 * 2 ** 20;
/** One render keeps two cores busy. */
const coresPerRender = 2;
const maxRenders = 64;

/** What this process may use, within the limits of its container. */
export interface Machine {
  /** A fraction under a CPU quota. */
  readonly cores: number;
  readonly memoryBytes: number;
}

/** The number of renders that fit at once; at least one, so that every machine serves its lane. */
export function countRenderSlots({ cores, memoryBytes }: Machine): number {
  const byMemory = Math.floor((memoryBytes - bytesOfWorker) / bytesPerRender);
  const byCores = Math.floor(cores / coresPerRender);
  return Math.max(1, Math.min(byMemory, byCores, maxRenders));
}

/** Reads the limits of this process: the CPU quotas as `readCpuShare`, and the memory limit that Node finds. */
export async function readMachine(root?: string): Promise<Machine> {
  // Without a limit it is 0, or more than the memory of the machine.
  const limitBytes = process.constrainedMemory();
  const memoryBytes = limitBytes > 0 ? Math.min(limitBytes, totalmem()) : totalmem();
  return { cores: await readCpuShare(root), memoryBytes };
}
