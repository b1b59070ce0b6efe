import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { planTimeline, probeClip, probeSpeech } from '../../packages/lipsync-core/src/media/index.ts';
import { createRenderPool } from '../../packages/lipsync-core/src/render/render-pool.ts';
import type { PreviewTask, StageFigures, TakeReport } from '../../packages/lipsync-core/src/render/render-tasks.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { watchMemory } from '../lib/watch-memory.ts';

export interface BenchResult {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGib: number; readonly node: string };
  readonly clip: string;
  readonly outputSeconds: number;
  /** Wall time ÷ output length: first time, and again with the track in the cache. */
  readonly realTimeFactor: number;
  readonly realTimeFactorTracked: number;
  readonly stages: readonly StageFigures[];
  readonly bytesCopiedPerFrame: number;
  /** Highest resident memory of the render process and its ffmpegs together. */
  readonly peakMemoryMib: number;
}

/** Runs the preview task twice on the sample repeated to `clipSeconds`: cold cache, then with the track cached. */
export async function benchPreview({ folder, clipSeconds, signal }: { folder: string; clipSeconds: number; signal: AbortSignal }): Promise<BenchResult> {
  const { clipPath, speechPath } = await lengthenSample(folder, clipSeconds, signal);
  const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 4096 };
  const clip = await probeClip(clipPath, { limits, signal });
  const speech = await probeSpeech(speechPath, { limits, signal });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
  const mouthCurvePath = join(folder, 'mouth-curve');
  const task: PreviewTask = {
    kind: 'preview', clipPath, clipDigest: 'bench', clip, speechPath, speech, timeline, mouthCurvePath, silenceMode: 'close',
    trackCacheFolder: join(folder, 'tracks'), workFolder: folder, takePath: join(folder, 'take.mp4'),
  };
  const pool = createRenderPool({ keepWarm: 1, idleMs: 60_000, cancelGraceMs: 2_000, silenceLimitMs: 120_000 });
  const memory = watchMemory(process.pid);
  try {
    const timed = async (): Promise<{ seconds: number; report: TakeReport }> => {
      const startedMs = performance.now();
      await pool.run({ kind: 'analyse_speech', speechPath, speechDurationMs: speech.durationMs, timeline, mouthCurvePath }, { signal });
      const report = await pool.run(task, { signal });
      return { seconds: (performance.now() - startedMs) / 1000, report };
    };
    const first = await timed();
    const second = await timed();
    const outputSeconds = timeline.durationMs / 1000;
    return {
      machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryGib: Math.round(totalmem() / 1024 ** 3), node: process.versions.node },
      clip: `${clip.width}×${clip.height}, ${clip.frameRate.numerator}/${clip.frameRate.denominator} fps, ${timeline.frameCount} frames`,
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
