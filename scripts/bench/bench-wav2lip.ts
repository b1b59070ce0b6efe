import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { loadSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { wav2lipRenderTask } from '../../packages/lipsync-core/src/providers/wav2lip/wav2lip-provider.ts';
import { EnginePool } from '../../packages/lipsync-core/src/providers/wav2lip/engine/engine-pool.ts';
import {
  startRowInputName,
  startRowTensor,
} from '../../packages/lipsync-core/src/providers/wav2lip/model/start-rows.ts';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { prepareBenchJob, type BenchOptions } from './bench-job.ts';
import type { BenchResult } from './bench-preview.ts';

export interface Wav2LipBenchResult extends BenchResult {
  readonly batchSize: number;
  /** The model alone in this process, with the same number and size of batches. */
  readonly tightLoopMsPerFrame: number;
  /** (wall − tight loop) ÷ tight loop, with an empty face track cache. */
  readonly overheadRatio: number;
  /** The same with the track cached. */
  readonly overheadRatioTracked: number;
}

/** The row from which the faces of the sample clip are drawn. */
const sampleStartRow = 44;

/** Runs the full-size model with seeded weights on the CPU. Its output is noise, but its timing is realistic. */
export async function benchWav2Lip(options: BenchOptions): Promise<Wav2LipBenchResult> {
  const { folder, signal } = options;
  const modelPath = join(folder, 'wav2lip.onnx');
  await writeSeededWav2Lip(modelPath, { widthDivisor: 1, seed: 1 });
  const { machine, clip, outputSeconds, input, pool, time } = await prepareBenchJob(options);
  const engines = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
  const memory = watchMemory(process.pid);
  try {
    const { engine } = await engines.lease({ path: modelPath, cacheFolder: folder }, { signal });
    const render = () =>
      pool.run(
        wav2lipRenderTask,
        { ...input, engine, windowStartMs: -40, colorMatch: true, sharpen: true },
        { signal },
      );
    const first = await time(render);
    const second = await time(render);
    const peakMemoryMib = memory.peakMib();
    await engines.close();
    const tightLoopMs = await timeTightLoop(modelPath, engine, input.timeline.frameCount);
    const ratio = (seconds: number): number => (seconds * 1000 - tightLoopMs) / tightLoopMs;
    return {
      engine: 'wav2lip',
      machine,
      clip,
      outputSeconds,
      realTimeFactor: first.seconds / outputSeconds,
      realTimeFactorTracked: second.seconds / outputSeconds,
      stages: first.report.stages,
      bytesCopiedPerFrame: first.report.bytesCopiedPerFrame,
      peakMemoryMib,
      batchSize: engine.batchSize,
      tightLoopMsPerFrame: tightLoopMs / input.timeline.frameCount,
      overheadRatio: ratio(first.seconds),
      overheadRatioTracked: ratio(second.seconds),
    };
  } finally {
    memory.end();
    await engines.close();
    await pool.close();
  }
}

/** Time in ms that the model alone needs for `frameCount` faces in batches of the engine's size. */
async function timeTightLoop(
  modelPath: string,
  { batchSize, cropSizePx }: { batchSize: number; cropSizePx: number },
  frameCount: number,
): Promise<number> {
  const session = await loadSession(modelPath, { threads: availableParallelism() });
  const inputs = {
    mel_spectrogram: { type: 'float32', data: new Float32Array(batchSize * 80 * 16), dims: [batchSize, 1, 80, 16] },
    video_frames: {
      type: 'float32',
      data: new Float32Array(batchSize * 6 * cropSizePx ** 2).fill(0.5),
      dims: [batchSize, 6, cropSizePx, cropSizePx],
    },
    [startRowInputName]: startRowTensor(sampleStartRow),
  } as const;
  try {
    await session.run(inputs);
    const startedMs = performance.now();
    for (let done = 0; done < frameCount; done += batchSize) await session.run(inputs);
    return performance.now() - startedMs;
  } finally {
    await session.release();
  }
}
