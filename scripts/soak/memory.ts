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

/** A 600 s clip at 720p: what the worker and everything below it holds, idle and through the job. */
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
    const tenths = tenthPeaks(busy.seriesMib()).map((mib) => Math.round(mib)).join(' ');
    console.log('| clip, s | status | took, s | idle, MiB | peak above idle, MiB | highest in each tenth of the job, MiB |\n|---|---|---|---|---|---|');
    console.log(`| ${clipSeconds} | ${job.status} | ${seconds.toFixed(0)} | ${Math.round(idle.peakMib())} | ${Math.round(aboveIdle)} | ${tenths} |`);
    return job.status === 'completed' && aboveIdle <= allowedMib;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function tenthPeaks(series: readonly number[]): number[] {
  return Array.from({ length: 10 }, (_, tenth) => {
    const part = series.slice(Math.floor((tenth * series.length) / 10), Math.floor(((tenth + 1) * series.length) / 10));
    return Math.max(...part);
  });
}
