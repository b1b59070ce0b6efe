import { availableParallelism, totalmem } from 'node:os';

/** A render of 1080p by the Wav2Lip engine on the CPU, with ffmpeg; see docs/measurements.md. */
const bytesPerRender = 1_280 * 2 ** 20;
/** The worker itself, without renders. */
const bytesOfWorker = 512 * 2 ** 20;
/** One render keeps two cores busy. */
const coresPerRender = 2;
const maxRenders = 64;

/** What this process may use, within the limits of its container. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

/** The number of renders that fit at once; at least one, so that every machine serves its lane. */
export function countRenderSlots({ cores, memoryBytes }: Machine = thisMachine()): number {
  const byMemory = Math.floor((memoryBytes - bytesOfWorker) / bytesPerRender);
  const byCores = Math.floor(cores / coresPerRender);
  return Math.max(1, Math.min(byMemory, byCores, maxRenders));
}

/** Both values respect the limits of a cgroup: Node reads its CPU quota and its memory limit. */
function thisMachine(): Machine {
  // Without a limit it is 0, or more than the memory of the machine.
  const limitBytes = process.constrainedMemory();
  return { cores: availableParallelism(), memoryBytes: limitBytes > 0 ? Math.min(limitBytes, totalmem()) : totalmem() };
}
