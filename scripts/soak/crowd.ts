import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { heldMib } from '../lib/watch-memory.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { listenToJob, type ListenerReport } from './job-listener.ts';
import { descendantsRunning, killRunning } from './processes.ts';
import { startScratchStack } from './scratch-stack.ts';

/** Settings: uploads at once, event streams over all jobs (at least one per job), and whether to kill processes. */
const jobCount = Number(process.env['CROWD_UPLOADS'] ?? 20);
const listenerCount = Math.max(jobCount, Number(process.env['CROWD_LISTENERS'] ?? 60));
const kills = process.env['CROWD_KILLS'] === 'true';

/** Killed in this order while the jobs run, at equal distances. */
const victims = [
  'apps/worker/src/main.ts',
  'apps/api/src/main.ts',
  'redis-server',
  'ffmpeg -nostdin',
  'render-process',
];
const speechSeconds = 1;
const memoryIntervalMs = 2_000;
const timeLimitMs = 45 * 60_000;

/**
 * Uploads many jobs at once and listens to all of them: all must complete, every listener must receive the end of its
 * job, progress must never decrease, and no files may be left. With kills, the same holds although processes die.
 */
export async function proveCrowd(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-crowd-'));
  const inputs = await shortenSample(folder, speechSeconds);
  const stack = await startScratchStack({ QUEUE_LOCK_MS: '5000', QUEUE_STALLED_INTERVAL_MS: '2000' }, signal);
  const apiMib = watchApi();
  try {
    const startedMs = performance.now();
    const accepted = await Promise.all(Array.from({ length: jobCount }, () => stack.submit(inputs)));
    const acceptedMs = performance.now() - startedMs;
    const killer = new Killer();
    const listeners = Array.from({ length: listenerCount }, async (_item, index) => {
      const id = accepted[index % jobCount]?.id ?? '';
      const report = await listenToJob(`${stack.url}/lipsync/${id}/events`, signal);
      killer.jobEnded(id);
      return report;
    });
    const reports = await Promise.all(listeners);
    const doneMs = performance.now() - startedMs;
    const records = await Promise.all(accepted.map(({ id }) => stack.waitFor(id)));
    const figures = {
      accepted: accepted.length,
      completed: records.filter(({ status }) => status === 'completed').length,
      listeners: listenerCount,
      'received the end': reports.filter(({ end }) => end === 'completed').length,
      'monotonic progress': reports.filter(({ isMonotonic }) => isMonotonic).length,
      events: sumOf(reports, ({ events }) => events),
      reconnects: sumOf(reports, ({ reconnects }) => reconnects),
      kills: killer.killed.length,
      outputs: (await stack.outputs()).length,
      leftovers: (await stack.leftovers()).length,
      'API at most, MiB': Math.round(Math.max(...apiMib.seriesMib)),
      'accepted in, s': (acceptedMs / 1_000).toFixed(1),
      'done in, s': (doneMs / 1_000).toFixed(0),
      'log lines': stack.lines.length,
    };
    for (const [name, value] of Object.entries(figures)) console.log(`| ${name} | ${value} |`);
    return (
      [figures.completed, figures.outputs].every((count) => count === jobCount) &&
      [figures['received the end'], figures['monotonic progress']].every((count) => count === listenerCount) &&
      figures.leftovers === 0
    );
  } finally {
    apiMib.end();
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Kills the next victim each time another share of the jobs has ended. */
class Killer {
  readonly killed: string[] = [];
  readonly #ended = new Set<string>();

  jobEnded(id: string): void {
    this.#ended.add(id);
    const victim = victims[this.killed.length];
    const due = ((this.killed.length + 1) * jobCount) / (victims.length + 1);
    if (!kills || victim === undefined || this.#ended.size < due) return;
    // A process that exists only during a job may not run at the moment: the next ended job tries again.
    if (killRunning(victim) > 0) this.killed.push(victim);
  }
}

function watchApi(): { readonly seriesMib: readonly number[]; end(): void } {
  const seriesMib: number[] = [];
  const timer = setInterval(() => {
    for (const pid of descendantsRunning('apps/api/src/main.ts')) seriesMib.push(heldMib(pid));
  }, memoryIntervalMs);
  return { seriesMib, end: () => clearInterval(timer) };
}

function sumOf(reports: readonly ListenerReport[], count: (one: ListenerReport) => number): number {
  return reports.reduce((sum, one) => sum + count(one), 0);
}
