import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyzeSpeechRenderTask } from '../../src/audio/index.ts';
import {
  passThroughRenderTask,
  planTimeline,
  probeClip,
  probeSpeech,
  probeTake,
  type TakeLoopOptions,
} from '../../src/media/index.ts';
import { createRenderPool, type RenderPool, type RenderPoolOptions } from '../../src/processes/render-pool.ts';
import { descendantsOf, processTable, type ProcessRow } from '../../src/testing/process-table.ts';
import type { ProgressReport } from '../../src/contract/provider-types.ts';

const limits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };
let folder: string;
let pool: RenderPool;
let input: TakeLoopOptions;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-render-'));
  const clipPath = join(folder, 'clip.mp4');
  const speechPath = join(folder, 'speech.wav');
  await promisify(execFile)('ffmpeg', [
    '-v',
    'error',
    '-f',
    'lavfi',
    '-i',
    'testsrc2=size=640x360:rate=25:duration=40',
    '-preset',
    'ultrafast',
    clipPath,
  ]);
  await promisify(execFile)('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'sine=duration=40', speechPath]);
  const signal = AbortSignal.timeout(60_000);
  const clip = await probeClip(clipPath, { limits, signal });
  const speech = await probeSpeech(speechPath, { limits, signal });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
  input = {
    clipPath,
    clip,
    speechPath,
    speech,
    timeline,
    workFolder: folder,
    takePath: join(folder, 'take.mp4'),
  };
  pool = createRenderPool({ keepWarm: 1, idleMs: 60_000, cancelGraceMs: 1_000, silenceLimitMs: 30_000 });
});

afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

/** Process ids of render processes below this one. */
function renderProcesses(): number[] {
  return descendantsOf(process.pid)
    .filter(({ command }) => command.includes('render-process'))
    .map(({ pid }) => pid);
}

/** Command lines of ffmpegs that work in our folder. */
function ffmpegProcesses(): string[] {
  return ourFfmpegs().map(({ command }) => command);
}

/** The same, as process ids. */
function ffmpegPids(): number[] {
  return ourFfmpegs().map(({ pid }) => pid);
}

/** Looked for everywhere, not only below this process: one that is left over has another parent. */
function ourFfmpegs(): ProcessRow[] {
  return processTable().filter(({ command }) => command.startsWith('ffmpeg') && command.includes(folder));
}

/** A pool of its own settings, closed after the work. */
async function withPool(settings: Partial<RenderPoolOptions>, work: (own: RenderPool) => Promise<void>): Promise<void> {
  const own = createRenderPool({
    keepWarm: 1,
    idleMs: 60_000,
    cancelGraceMs: 1_000,
    silenceLimitMs: 30_000,
    ...settings,
  });
  try {
    await work(own);
  } finally {
    await own.close();
  }
}

async function untilRendering(run: (onProgress: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => run(resolve));
}

async function files(): Promise<string[]> {
  return (await readdir(folder)).sort();
}

describe('the render pool', () => {
  it('makes a take in a process of its own and keeps that process for the next task', async () => {
    const shortInput = { ...input, timeline: { ...input.timeline, frameCount: 50, durationMs: 2000 } };
    await pool.run(passThroughRenderTask, shortInput, { signal: AbortSignal.timeout(60_000) });
    const [first] = renderProcesses();
    await pool.run(passThroughRenderTask, shortInput, { signal: AbortSignal.timeout(60_000) });
    expect(renderProcesses()).toEqual([first]);
    const made = await probeTake(input.takePath, { signal: AbortSignal.timeout(10_000) });
    expect(made.frameCount).toBe(50);
    await rm(input.takePath);
  });

  it('has a process ready for a task that is about to come, and no second one', async () => {
    await withPool({}, async (own) => {
      const before = renderProcesses();
      own.warm();
      own.warm();
      const started = renderProcesses().filter((pid) => !before.includes(pid));
      expect(started).toHaveLength(1);
      await own.run(
        passThroughRenderTask,
        { ...input, timeline: { ...input.timeline, frameCount: 5 } },
        { signal: AbortSignal.timeout(60_000) },
      );
      expect(renderProcesses().filter((pid) => !before.includes(pid))).toEqual(started);
    });
    await rm(input.takePath);
  });

  it('reports a killed process as a media fault, ends its ffmpegs, and works on with a new one', async () => {
    let running: Promise<unknown> | undefined;
    await untilRendering((onProgress) => {
      running = pool.run(passThroughRenderTask, input, { signal: AbortSignal.timeout(60_000), onProgress });
      running.catch(() => undefined);
    });
    for (const pid of renderProcesses()) process.kill(pid, 'SIGKILL');
    await expect(running).rejects.toMatchObject({ code: 'media_failed' });
    await expect.poll(ffmpegProcesses).toEqual([]);
    await pool.run(
      passThroughRenderTask,
      { ...input, timeline: { ...input.timeline, frameCount: 5 } },
      { signal: AbortSignal.timeout(60_000) },
    );
  });

  it('stops ffmpeg and leaves no file when a task is canceled, and keeps the process', async () => {
    await rm(input.takePath, { force: true });
    const before = await files();
    const controller = new AbortController();
    let running: Promise<unknown> | undefined;
    await untilRendering((onProgress) => {
      running = pool.run(passThroughRenderTask, input, { signal: controller.signal, onProgress });
      running.catch(() => undefined);
    });
    const [warm] = renderProcesses();
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: 'canceled' });
    expect(renderProcesses()).toEqual([warm]);
    await sleep(100);
    expect(ffmpegProcesses()).toEqual([]);
    expect(await files()).toEqual(before);
  });

  it('does not hand out a process that it has just let go', async () => {
    const idleMs = 40;
    const fewFrames = { ...input, timeline: { ...input.timeline, frameCount: 5 } };
    await withPool({ idleMs }, async (own) => {
      await own.run(passThroughRenderTask, fewFrames, { signal: AbortSignal.timeout(60_000) });
      // Comes right behind the pool's own timer, before the killed process can be gone.
      await sleep(idleMs);
      await expect(
        own.run(passThroughRenderTask, fewFrames, { signal: AbortSignal.timeout(60_000) }),
      ).resolves.toMatchObject({
        warnings: [],
      });
    });
  });

  it('keeps nothing of a task that is done, however long its process lives', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: unknown = runInNewContext('gc');
    if (typeof collectGarbage !== 'function') throw new Error('Garbage cannot be collected on demand.');
    const fewFrames = { ...input, timeline: { ...input.timeline, frameCount: 5 } };
    await withPool({}, async (own) => {
      const runOnce = async (): Promise<WeakRef<object>> => {
        const context = { signal: AbortSignal.timeout(60_000), onProgress: () => undefined };
        await own.run(passThroughRenderTask, fewFrames, context);
        return new WeakRef(context);
      };
      const contexts = [await runOnce(), await runOnce(), await runOnce()];
      await sleep(50);
      collectGarbage();
      expect(contexts.map((context) => context.deref())).toEqual([undefined, undefined, undefined]);
    });
  });

  it('lets a task work on that reports nothing for longer than the limit of silence', { timeout: 40_000 }, async () => {
    await withPool({ silenceLimitMs: 4_000 }, async (own) => {
      let running: Promise<unknown> | undefined;
      await untilRendering((onProgress) => {
        running = own.run(
          passThroughRenderTask,
          { ...input, timeline: { ...input.timeline, frameCount: 200 } },
          { signal: AbortSignal.timeout(60_000), onProgress },
        );
        running.catch(() => undefined);
      });
      const paused = ffmpegPids();
      for (const pid of paused) process.kill(pid, 'SIGSTOP');
      await sleep(5_000);
      for (const pid of paused) process.kill(pid, 'SIGCONT');
      await expect(running).resolves.toMatchObject({ warnings: [] });
    });
  });

  it('kills a process that stands still', { timeout: 40_000 }, async () => {
    await withPool({ silenceLimitMs: 4_000 }, async (own) => {
      const others = renderProcesses();
      let running: Promise<unknown> | undefined;
      await untilRendering((onProgress) => {
        running = own.run(passThroughRenderTask, input, { signal: AbortSignal.timeout(60_000), onProgress });
        running.catch(() => undefined);
      });
      for (const pid of renderProcesses()) if (!others.includes(pid)) process.kill(pid, 'SIGSTOP');
      await expect(running).rejects.toMatchObject({ code: 'media_failed' });
    });
  });

  it('says how much of the speech was heard', async () => {
    const { timeline, speechPath, speech } = input;
    const heard: ProgressReport[] = [];
    const analysis = {
      speechPath,
      speechDurationMs: speech.durationMs,
      timeline,
      mouthCurvePath: join(folder, 'mouth-curve'),
    };
    await pool.run(analyzeSpeechRenderTask, analysis, {
      signal: AbortSignal.timeout(60_000),
      onProgress: (report) => heard.push(report),
    });
    const fractions = heard.map(({ fraction }) => fraction);
    expect(new Set(heard.map(({ stage }) => stage))).toEqual(new Set(['listening']));
    expect(fractions.length).toBeGreaterThan(10);
    expect(fractions).toEqual(fractions.toSorted((one, other) => one - other));
    expect(fractions.at(-1)).toBeGreaterThan(0.95);
  });

  it('refuses to begin when it is canceled already', async () => {
    await expect(pool.run(passThroughRenderTask, input, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'canceled',
    });
  });
});
