import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { framesPerSecond, probeClip, probeTake } from '../../packages/lipsync-core/src/media/index.ts';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { descendantsRunning } from './processes.ts';
import { startScratchStack } from './scratch-stack.ts';

/** Ten minutes, or less for a quick test. */
const clipSeconds = Number(process.env['SOAK_MEMORY_SECONDS'] ?? 600);
const timeLimitMs = 40 * 60_000;
/** Allowed memory above the idle worker and the weights of the model. */
const allowedMib = 1024;
const idleMs = 3_000;
/** Stages that are long enough to show growth. Each allocates what it needs at its start. */
const longStages = ['tracking', 'rendering'] as const;
/** Allowed growth within a stage: memory that allocators retain, not memory that grows with the clip. */
const allowedGrowth = { factor: 1.1, mib: 50 };

/**
 * Makes a preview of a 600 s clip at 720p. Measures the memory of the worker and its descendants, idle and during the
 * job, and checks that it stays flat in each long stage.
 */
export async function proveMemory(): Promise<boolean> {
  return withFolder((folder) => proveFlat(folder, { method: 'preview', modelMib: 0, environment: {} }));
}

/**
 * The same with Wav2Lip on the CPU: a full-size model with seeded weights, whose engine is a descendant of the worker.
 */
export async function proveWav2LipMemory(): Promise<boolean> {
  return withFolder(async (folder) => {
    const modelPath = join(folder, 'wav2lip.onnx');
    await writeSeededWav2Lip(modelPath, { widthDivisor: 1, seed: 1 });
    const modelMib = (await stat(modelPath)).size / 1024 ** 2;
    return proveFlat(folder, {
      method: 'wav2lip',
      modelMib,
      environment: { WAV2LIP_MODEL_PATH: modelPath, LIPSYNC_GPU_ENABLED: 'false' },
    });
  });
}

async function withFolder(work: (folder: string) => Promise<boolean>): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-memory-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface MemoryProof {
  readonly method: 'preview' | 'wav2lip';
  /** Size of the model's file. */
  readonly modelMib: number;
  readonly environment: Readonly<Record<string, string>>;
}

async function proveFlat(folder: string, { method, modelMib, environment }: MemoryProof): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const inputs = await lengthenSample(folder, clipSeconds, signal);
  const stack = await startScratchStack(environment, signal);
  try {
    const [worker] = descendantsRunning('apps/worker/src/main.ts');
    if (worker === undefined) throw new Error('No worker is running.');
    const idle = watchMemory(worker, { withItself: true });
    await sleep(idleMs);
    idle.end();
    const busy = watchMemory(worker, { withItself: true });
    const samplesAt = new Map<string, number>();
    const startedMs = performance.now();
    const { id } = await stack.submit({ videoPath: inputs.clipPath, audioPath: inputs.speechPath }, { method });
    const job = await stack.waitFor(id, ({ stage }) => {
      if (!samplesAt.has(stage)) samplesAt.set(stage, busy.seriesMib().length);
    });
    busy.end();
    const aboveIdle = busy.peakMib() - idle.peakMib();
    const seconds = (performance.now() - startedMs) / 1000;
    console.log(
      '| method | clip, s | status | took, s | idle, MiB | peak above idle, MiB | of which the model, MiB |\n|---|---|---|---|---|---|---|',
    );
    console.log(
      `| ${method} | ${clipSeconds} | ${job.status} | ${seconds.toFixed(0)} | ${Math.round(idle.peakMib())} | ${Math.round(aboveIdle)} | ${Math.round(modelMib)} |\n`,
    );
    const flat = longStages.map((stage) => isStageFlat(stage, busy.seriesMib(), samplesAt));
    const together = await endTogether(await stack.outputs());
    return job.status === 'completed' && aboveIdle - modelMib <= allowedMib && flat.every(Boolean) && together;
  } finally {
    await stack.stop();
  }
}

function isStageFlat(stage: string, seriesMib: readonly number[], samplesAt: ReadonlyMap<string, number>): boolean {
  if (stage === longStages[0]) console.log('| stage | highest in each fifth of it, MiB | flat |\n|---|---|---|');
  const fifths = fifthPeaks(seriesOf(stage, seriesMib, samplesAt));
  console.log(`| ${stage} | ${fifths.map(Math.round).join(' ')} | ${isFlat(fifths)} |`);
  return isFlat(fifths);
}

/** Samples from the start of a stage to the start of the next; empty if the stage was not sampled. */
export function seriesOf(
  stage: string,
  seriesMib: readonly number[],
  samplesAt: ReadonlyMap<string, number>,
): readonly number[] {
  const stages = [...samplesAt];
  const stageIndex = stages.findIndex(([name]) => name === stage);
  const [, start] = stages[stageIndex] ?? [stage, Infinity];
  return seriesMib.slice(start, stages[stageIndex + 1]?.[1]);
}

/** Whether sound and picture of the only output end within one frame of each other, and no frame is missing. */
async function endTogether([path]: readonly string[]): Promise<boolean> {
  if (path === undefined) return false;
  const { frameCount, videoDurationMs, audioDurationMs } = await probeTake(path);
  const { frameRate } = await probeClip(path, { limits: { maxDurationMs: timeLimitMs, maxDimensionPx: 8192 } });
  const expected = Math.round(clipSeconds * framesPerSecond(frameRate));
  const apartMs = (audioDurationMs ?? NaN) - videoDurationMs;
  console.log(
    `\n| frames | expected | sound − picture at the end, ms |\n|---|---|---|\n| ${frameCount} | ${expected} | ${apartMs.toFixed(1)} |`,
  );
  return frameCount === expected && Math.abs(apartMs) <= 1000 / framesPerSecond(frameRate);
}

/** Whether the last fifth of a stage needs about as much memory as the second. False if a fifth was not sampled. */
export function isFlat(fifths: readonly number[]): boolean {
  const [, settled, , , last] = fifths;
  return (
    settled !== undefined &&
    last !== undefined &&
    fifths.every(Number.isFinite) &&
    last <= settled * allowedGrowth.factor + allowedGrowth.mib
  );
}

function fifthPeaks(series: readonly number[]): number[] {
  return Array.from({ length: 5 }, (_, fifth) => {
    const part = series.slice(Math.floor((fifth * series.length) / 5), Math.floor(((fifth + 1) * series.length) / 5));
    return Math.max(...part);
  });
}
