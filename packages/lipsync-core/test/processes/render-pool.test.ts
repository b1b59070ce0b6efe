import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { analyzeSpeechRenderTask } from '../../src/audio/index.ts';
import { toFailure } from '../../src/errors/carried-failure.ts';
import { LipsyncError, TimeoutError } from '../../src/errors/index.ts';
import {
  passThroughRenderTask,
  planTimeline,
  probeClip,
  probeSpeech,
  probeTake,
  type TakeLoopOptions,
} from '../../src/media/index.ts';
import { resolveEntry } from '../../src/processes/entry.ts';
import { ManagedChild } from '../../src/processes/managed-child.ts';
import type { FromRenderProcess, ToRenderProcess } from '../../src/processes/render-child.ts';
import { RenderProcessPool, type RenderPool, type RenderPoolOptions } from '../../src/processes/render-pool.ts';
import { defineRenderTask } from '../../src/processes/render-task.ts';
import { descendantsOf, processTable, type ProcessRow } from '../../src/testing/process-table.ts';
import type { ProgressReport } from '../../src/contract/provider-types.ts';
import type { traceTask } from './trace-task.ts';

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
  pool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 30_000 });
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

/** Command lines of ffmpeg processes that work in our folder. */
function ffmpegProcesses(): string[] {
  return ourFfmpegs().map(({ command }) => command);
}

/** Their process ids. */
function ffmpegPids(): number[] {
  return ourFfmpegs().map(({ pid }) => pid);
}

/** Searches all processes, because an orphan has another parent. */
function ourFfmpegs(): ProcessRow[] {
  return processTable().filter(({ command }) => command.startsWith('ffmpeg') && command.includes(folder));
}

/** Runs `work` with a separate pool, closed afterwards. */
async function withPool(settings: Partial<RenderPoolOptions>, work: (own: RenderPool) => Promise<void>): Promise<void> {
  const own = new RenderProcessPool({
    keepWarm: 1,
    idleMs: 60_000,

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

it('The render pool makes a take in a separate process and keeps that process for the next task.', async () => {
  const shortInput = { ...input, timeline: { ...input.timeline, frameCount: 50, durationMs: 2000 } };
  await pool.run(passThroughRenderTask, shortInput, { signal: AbortSignal.timeout(60_000) });
  const [first] = renderProcesses();
  await pool.run(passThroughRenderTask, shortInput, { signal: AbortSignal.timeout(60_000) });
  expect(renderProcesses()).toEqual([first]);
  const made = await probeTake(input.takePath, { signal: AbortSignal.timeout(10_000) });
  expect(made.frameCount).toBe(50);
  await rm(input.takePath);
});

it('Warming the render pool twice starts one process, which the next task uses.', async () => {
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

it('A killed render process fails its task with media_failed, its ffmpeg processes end, and the pool starts another.', async () => {
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

it('A canceled task stops its ffmpeg processes, deletes its files, and keeps the render process warm.', async () => {
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

it('The render pool does not reuse a process whose idle time has just expired.', async () => {
  const idleMs = 40;
  const fewFrames = { ...input, timeline: { ...input.timeline, frameCount: 5 } };
  await withPool({ idleMs }, async (own) => {
    await own.run(passThroughRenderTask, fewFrames, { signal: AbortSignal.timeout(60_000) });
    // Runs directly after the timer of the pool, before the killed process can have ended.
    await sleep(idleMs);
    await expect(
      own.run(passThroughRenderTask, fewFrames, { signal: AbortSignal.timeout(60_000) }),
    ).resolves.toMatchObject({
      warnings: [],
    });
  });
});

it('An idle render process that ends by itself is not killed when its idle time passes.', async () => {
  const idleMs = 200;
  await withPool({ idleMs }, async (own) => {
    const others = renderProcesses();
    using kill = vi.spyOn(ManagedChild.prototype, 'kill');
    using signal = vi.spyOn(process, 'kill');
    own.warm();
    const [idle] = renderProcesses().filter((pid) => !others.includes(pid));
    if (idle === undefined) throw new Error('No render process was started.');
    process.kill(idle, 'SIGKILL');
    // The exit is known once the rest of its group has been killed.
    await expect
      .poll(() => signal.mock.calls)
      .toEqual([
        [idle, 'SIGKILL'],
        [-idle, 'SIGKILL'],
      ]);
    await sleep(2 * idleMs);
    expect([kill.mock.calls.length, signal.mock.calls.length]).toEqual([0, 2]);
  });
});

it('A warm render process retains no reference to a completed task.', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage: unknown = runInNewContext('gc');
  if (typeof collectGarbage !== 'function') throw new Error('The garbage collector is not exposed.');
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

it(
  'A task without progress reports may run longer than the silence limit of its process.',
  { timeout: 40_000 },
  async () => {
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
  },
);

it(
  'A render process that stops responding is killed and its task fails with media_failed.',
  { timeout: 40_000 },
  async () => {
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
  },
);

it('Speech analysis reports its progress from start to end.', async () => {
  const { timeline, speechPath, speech } = input;
  const heard: ProgressReport[] = [];
  const analysis = {
    speechPath,
    speech,
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

it('The render pool starts no task for a signal that is already aborted.', async () => {
  await expect(pool.run(passThroughRenderTask, input, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'canceled',
  });
});

it('A canceled task whose ffmpeg ignores SIGTERM leaves the render process warm.', async () => {
  const toolFolder = await mkdtemp(join(tmpdir(), 'lipsync-tools-'));
  const stubborn = join(toolFolder, 'stubborn');
  const { stdout: realPath } = await promisify(execFile)('sh', ['-c', 'command -v ffmpeg']);
  // After the real ffmpeg has ended with its pipes, the wrapper continues until it is killed. The real one does not keep
  // its error output open: after the kill it may still encode the sound for seconds on a loaded machine.
  const wrapper = `#!/bin/sh\ntrap '' TERM\n${realPath.trim()} "$@" 2>/dev/null\ncode=$?\nwhile [ -e ${stubborn} ]; do sleep 0.02; done\nexit $code\n`;
  await writeFile(join(toolFolder, 'ffmpeg'), wrapper, { mode: 0o755 });
  vi.stubEnv('PATH', `${toolFolder}:${process.env['PATH']}`);
  try {
    await withPool({}, async (own) => {
      const others = renderProcesses();
      const controller = new AbortController();
      let running: Promise<unknown> | undefined;
      await untilRendering((onProgress) => {
        running = own.run(passThroughRenderTask, input, { signal: controller.signal, onProgress });
        running.catch(() => undefined);
      });
      const [warm] = renderProcesses().filter((pid) => !others.includes(pid));
      await writeFile(stubborn, '');
      const canceledAtMs = performance.now();
      controller.abort(new LipsyncError('canceled', 'Enough.'));
      await expect(running).rejects.toMatchObject({ code: 'canceled', message: 'Enough.' });
      expect(performance.now() - canceledAtMs).toBeGreaterThan(500);
      await rm(stubborn);
      expect(renderProcesses().filter((pid) => !others.includes(pid))).toEqual([warm]);
      const fewFrames = { ...input, timeline: { ...input.timeline, frameCount: 5 } };
      await own.run(passThroughRenderTask, fewFrames, { signal: AbortSignal.timeout(60_000) });
      expect(renderProcesses().filter((pid) => !others.includes(pid))).toEqual([warm]);
    });
  } finally {
    vi.unstubAllEnvs();
    await rm(toolFolder, { recursive: true, force: true });
  }
});

it('A render process reports the code and message of the abort reason that its parent sent.', async () => {
  const child = ManagedChild.startModule({
    entry: resolveEntry('../../src/processes/render-process', import.meta.url),
  });
  try {
    const failure = new Promise<FromRenderProcess>((resolve) => {
      child.onMessage((message: FromRenderProcess) => {
        const reason = toFailure(new TimeoutError('deadline_exceeded', 'The deadline of the job has passed.'));
        if (message.type === 'progress') child.send({ type: 'cancel', reason } satisfies ToRenderProcess);
        if (message.type === 'failed' || message.type === 'done') resolve(message);
      });
    });
    const { moduleUrl, exportName } = passThroughRenderTask;
    const run: ToRenderProcess = { type: 'run', task: { moduleUrl, exportName }, input, heartbeatMs: 1_000 };
    child.send(run);
    expect(await failure).toMatchObject({
      type: 'failed',
      code: 'deadline_exceeded',
      message: 'The deadline of the job has passed.',
    });
  } finally {
    await child.kill();
  }
});

it('A task receives the trace context of its job in the render process.', async () => {
  const task = defineRenderTask<typeof traceTask>('./trace-task', 'traceTask', import.meta.url);
  const trace = { requestId: 'request-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  const signal = AbortSignal.timeout(60_000);
  expect(await pool.run(task, null, { signal, trace })).toEqual(trace);
  expect(await pool.run(task, null, { signal })).toBeNull();
});
