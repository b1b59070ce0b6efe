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
/** How much the end of the job may hold above its beginning: what allocators keep, not what grows with the clip. */
const allowedGrowth = { factor: 1.1, mib: 50 };

/** A 600 s clip at 720p: what the worker and everything below it holds, idle and through the job, and that it stays flat. */
export async function proveMemory(): Promise<boolean> {
  const signal = AbortSignal.timeout(longestMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-memory-'));
  const inputs = await lengthenSample(folder, clipSeconds, signal);
  const stack = await startScratchStack({}, signal);
  try {
    const [worker] = descendantsRunning('apps/worker/src/main.ts');
    if (worker === undefined) throw new Error('There is no worker to watch.');
    const idle = watchMemory(worker);
    await sleep(idleMs);
    idle.end();
    const busy = watchMemory(worker);
    const startedMs = performance.now();
    const { id } = await stack.client.submit({ videoPath: inputs.clipPath, audioPath: inputs.speechPath }, {});
    const job = await stack.client.follow(id, () => undefined);
    busy.end();
    const aboveIdle = busy.peakMib() - idle.peakMib();
    const seconds = (performance.now() - startedMs) / 1000;
    const tenths = tenthPeaks(busy.seriesMib());
    const flat = isFlat(tenths);
    console.log('| clip, s | status | took, s | idle, MiB | peak above idle, MiB | highest in each tenth of the job, MiB | flat |\n|---|---|---|---|---|---|---|');
    console.log(`| ${clipSeconds} | ${job.status} | ${seconds.toFixed(0)} | ${Math.round(idle.peakMib())} | ${Math.round(aboveIdle)} | ${tenths.map(Math.round).join(' ')} | ${flat} |`);
    return job.status === 'completed' && aboveIdle <= allowedMib && flat;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether each of the last three tenths is about where the third was, when every part of the job was at work. */
export function isFlat(tenths: readonly number[]): boolean {
  const settled = tenths[2];
  return settled !== undefined && tenths.slice(-3).every((mib) => mib <= settled * allowedGrowth.factor + allowedGrowth.mib);
}

function tenthPeaks(series: readonly number[]): number[] {
  return Array.from({ length: 10 }, (_, tenth) => {
    const part = series.slice(Math.floor((tenth * series.length) / 10), Math.floor(((tenth + 1) * series.length) / 10));
    return Math.max(...part);
  });
}
