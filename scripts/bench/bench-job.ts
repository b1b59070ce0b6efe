import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { analyzeSpeechRenderTask } from '../../packages/lipsync-core/src/audio/index.ts';
import { planTimeline, probeClip, probeSpeech, type TakeReport } from '../../packages/lipsync-core/src/media/index.ts';
import { RenderProcessPool, type RenderPool } from '../../packages/lipsync-core/src/processes/render-pool.ts';
import type { LocalTakeInput } from '../../packages/lipsync-core/src/providers/local/take-input.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly node: string;
}

/** A job on the lengthened sample: the input of the render tasks of local providers. */
export interface BenchJob {
  readonly machine: Machine;
  readonly clip: string;
  readonly outputSeconds: number;
  readonly input: LocalTakeInput;
  readonly pool: RenderPool;
  /** Probes the inputs, analyzes the speech and runs `make`, as a job does. Returns the total time and the report. */
  time(make: () => Promise<TakeReport>): Promise<{ readonly seconds: number; readonly report: TakeReport }>;
}

export interface BenchOptions {
  readonly folder: string;
  readonly clipSeconds: number;
  readonly signal: AbortSignal;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    node: process.versions.node,
  };
}

/** Prepares inputs and a render pool, which the caller closes. */
export async function prepareBenchJob({ folder, clipSeconds, signal }: BenchOptions): Promise<BenchJob> {
  const { clipPath, speechPath } = await lengthenSample(folder, clipSeconds, signal);
  const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 4096 };
  const clip = await probeClip(clipPath, { limits, signal });
  const speech = await probeSpeech(speechPath, { limits, signal });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
  const mouthCurvePath = join(folder, 'mouth-curve');
  const pool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 120_000 });
  return {
    machine: describeMachine(),
    clip: `${clip.width}×${clip.height}, ${clip.frameRate.numerator}/${clip.frameRate.denominator} fps, ${timeline.frameCount} frames`,
    outputSeconds: timeline.durationMs / 1000,
    pool,
    input: {
      clipPath,
      clipDigest: 'bench',
      clip,
      speechPath,
      speech,
      timeline,
      mouthCurvePath,
      silenceMode: 'close',
      trackCacheFolder: join(folder, 'tracks'),
      workFolder: folder,
      takePath: join(folder, 'take.mp4'),
    },
    async time(make) {
      const startedMs = performance.now();
      pool.warm();
      await probeClip(clipPath, { limits, signal });
      await probeSpeech(speechPath, { limits, signal });
      await pool.run(analyzeSpeechRenderTask, { speechPath, speech, timeline, mouthCurvePath }, { signal });
      const report = await make();
      return { seconds: (performance.now() - startedMs) / 1000, report };
    },
  };
}
