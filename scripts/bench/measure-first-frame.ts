/**
 * `node measure-first-frame.ts ENGINE CLIP SPEECH MODEL`: runs a job without a cached track until its first frame is
 * drawn, and prints the seconds from the start of the job and from the start of the render task as JSON. Works in
 * checkouts of earlier revisions, which `bench -- first-frame` copies it to.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { analyzeSpeechRenderTask } from '../../packages/lipsync-core/src/audio/index.ts';
import { planTimeline, probeClip, probeSpeech } from '../../packages/lipsync-core/src/media/index.ts';
import { RenderProcessPool } from '../../packages/lipsync-core/src/processes/render-pool.ts';
import { previewRenderTask } from '../../packages/lipsync-core/src/providers/preview/preview-provider.ts';
import { EnginePool } from '../../packages/lipsync-core/src/providers/wav2lip/engine/engine-pool.ts';
import { wav2lipRenderTask } from '../../packages/lipsync-core/src/providers/wav2lip/wav2lip-provider.ts';

const [engineName, clipPath = '', speechPath = '', modelPath = ''] = process.argv.slice(2);
const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 4096 };
const workFolder = await mkdtemp(join(tmpdir(), 'lipsync-first-frame-'));
const pool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 120_000 });
const engines = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
const end = new AbortController();
const { signal } = end;

/** When rendering last reported no progress: at its start, then with the first frame. */
let firstFrameMs = NaN;
const onProgress = ({ stage, fraction }: { readonly stage: string; readonly fraction: number }): void => {
  if (stage !== 'rendering') return;
  if (fraction === 0) firstFrameMs = performance.now();
  else end.abort();
};

try {
  pool.warm();
  // The engine stays loaded between jobs.
  const lease = async () =>
    (await engines.lease({ path: modelPath, cacheFolder: join(modelPath, '..') }, { signal })).engine;
  const engine = engineName === 'wav2lip' ? await lease() : undefined;
  const startedMs = performance.now();
  const clip = await probeClip(clipPath, { limits, signal });
  const speech = await probeSpeech(speechPath, { limits, signal });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
  const mouthCurvePath = join(workFolder, 'mouth-curve');
  await pool.run(analyzeSpeechRenderTask, { speechPath, speech, timeline, mouthCurvePath }, { signal });
  const input = {
    clipPath,
    clipDigest: 'bench',
    clip,
    speechPath,
    speech,
    timeline,
    mouthCurvePath,
    workFolder,
    silenceMode: 'close' as const,
    trackCacheFolder: join(workFolder, 'tracks'),
    takePath: join(workFolder, 'take.mp4'),
  };
  const taskStartedMs = performance.now();
  const context = { signal, onProgress };
  if (!engine) await pool.run(previewRenderTask, input, context).catch(ignoreEnd);
  else {
    const options = { engine, windowStartMs: -40, colorMatch: true, sharpen: true };
    await pool.run(wav2lipRenderTask, { ...input, ...options }, context).catch(ignoreEnd);
  }
  const seconds = (sinceMs: number): number => (firstFrameMs - sinceMs) / 1000;
  console.log(JSON.stringify({ jobSeconds: seconds(startedMs), taskSeconds: seconds(taskStartedMs) }));
} finally {
  await engines.close();
  await pool.close();
  await rm(workFolder, { recursive: true, force: true });
}

/** The job is canceled once its first frame is drawn. */
function ignoreEnd(error: unknown): void {
  if (!signal.aborted) throw error;
}
