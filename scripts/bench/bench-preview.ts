import type { StageFigures } from '../../packages/lipsync-core/src/media/index.ts';
import { previewRenderTask } from '../../packages/lipsync-core/src/providers/preview/preview-provider.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { prepareBenchJob, type BenchOptions, type Machine } from './bench-job.ts';

export interface BenchResult {
  readonly engine: string;
  readonly machine: Machine;
  readonly clip: string;
  readonly outputSeconds: number;
  /** Wall time ÷ output length: first time, and again with the track in the cache. */
  readonly realTimeFactor: number;
  readonly realTimeFactorTracked: number;
  readonly stages: readonly StageFigures[];
  readonly bytesCopiedPerFrame: number;
  /** Highest resident memory of the processes that render, together. */
  readonly peakMemoryMib: number;
}

/** Runs the preview task twice on the lengthened sample: cold cache, then with the track cached. */
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
