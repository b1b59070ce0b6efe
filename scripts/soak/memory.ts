import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { watchMemory } from '../lib/watch-memory.ts';
import { descendantsRunning } from './processes.ts';
import { startScratchStack } from './scratch-stack.ts';

const clipSeconds = 600;
const longestMs = 40 * 60_000;
const allowedMib = 1024;
const idleMs = 3_000;
/** Stages that last long enough to grow in; each holds what it needs from its beginning. */
const longStages = ['tracking', 'rendering'] as const;
/** How much the end of a stage may hold above its beginning: what allocators keep, not what grows with the clip. */
const allowedGrowth = { factor: 1.1, mib: 50 };

/** A 600 s clip at 720p: what the worker and everything below it holds, idle and through the job, and that it stays flat in each long stage. */
export async function proveMemory(): Promise<boolean> {
  const signal = AbortSignal.timeout(longestMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-memory-'));
  const inputs = await lengthenSample(folder, clipSeconds, signal);
  const stack = await startScratchStack({}, signal);
  try {
    const [worker] = descendantsRunning('apps/worker/src/main.ts');
    if (worker === undefined) throw new Error('There is no worker to watch.');
    const idle = watchMemory(worker, { withItself: true });
    await sleep(idleMs);
    idle.end();
    const busy = watchMemory(worker, { withItself: true });
    const samplesAt = new Map<string, number>();
    const startedMs = performance.now();
    const { id } = await stack.client.submit({ videoPath: inputs.clipPath, audioPath: inputs.speechPath }, {});
    const job = await stack.client.follow(id, ({ stage }) => {
      if (!samplesAt.has(stage)) samplesAt.set(stage, busy.seriesMib().length);
    });
    busy.end();
    const aboveIdle = busy.peakMib() - idle.peakMib();
    const seconds = (performance.now() - startedMs) / 1000;
    console.log('| clip, s | status | took, s | idle, MiB | peak above idle, MiB |\n|---|---|---|---|---|');
    console.log(`| ${clipSeconds} | ${job.status} | ${seconds.toFixed(0)} | ${Math.round(idle.peakMib())} | ${Math.round(aboveIdle)} |\n`);
    console.log('| stage | highest in each fifth of it, MiB | flat |\n|---|---|---|');
    const starts = [...samplesAt.values()];
    const flat = longStages.map((stage) => {
      const start = samplesAt.get(stage) ?? 0;
      const fifths = fifthPeaks(busy.seriesMib().slice(start, starts[starts.indexOf(start) + 1]));
      console.log(`| ${stage} | ${fifths.map(Math.round).join(' ')} | ${isFlat(fifths)} |`);
      return isFlat(fifths);
    });
    return job.status === 'completed' && aboveIdle <= allowedMib && flat.every(Boolean);
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether the last fifth of a stage is about where the second was, when everything had begun. */
export function isFlat(fifths: readonly number[]): boolean {
  const [, settled, , , last] = fifths;
  return settled !== undefined && last !== undefined && last <= settled * allowedGrowth.factor + allowedGrowth.mib;
}

function fifthPeaks(series: readonly number[]): number[] {
  return Array.from({ length: 5 }, (_, fifth) => {
    const part = series.slice(Math.floor((fifth * series.length) / 5), Math.floor(((fifth + 1) * series.length) / 5));
    return Math.max(...part);
  });
}
