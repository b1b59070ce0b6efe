import type { StageFigures } from '../../packages/lipsync-core/src/media/index.ts';
import { previewRenderTask } from '../../packages/lipsync-core/src/providers/preview/preview-provider.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { prepareBenchJob, type BenchOptions, type Machine } from './bench-job.ts';

export interface BenchResult {
  readonly engine: string;
  readonly machine: Machine;
  readonly clip: string;
  readonly outputSeconds: number;
  /** Wall time ÷ output duration, with an empty face track cache. */
  readonly realTimeFactor: number;
  /** The same with the track cached. */
  readonly realTimeFactorTracked: number;
  readonly stages: readonly StageFigures[];
  readonly bytesCopiedPerFrame: number;
  /** Peak of the total memory of the render processes. */
  readonly peakMemoryMib: number;
}

/** Runs the preview task twice on the lengthened sample: with an empty cache, then with the track cached. */
export async function benchPreview(options: BenchOptions): Promise<BenchResult> {
  const { signal } = options;
  const { machine, clip, outputSeconds, input, pool, time } = await prepareBenchJob(options);
  const memory = watchMemory(process.pid);
  try {
    const first = await time(() => pool.run(previewRenderTask, input, { signal }));
    const second = await time(() => pool.run(previewRenderTask, input, { signal }));
    return {
      engine: 'preview',
      machine,
      clip,
      outputSeconds,
      realTimeFactor: first.seconds / outputSeconds,
      realTimeFactorTracked: second.seconds / outputSeconds,
      stages: first.report.stages,
      bytesCopiedPerFrame: first.report.bytesCopiedPerFrame,
      peakMemoryMib: memory.peakMib(),
    };
  } finally {
    memory.end();
    await pool.close();
  }
}
