import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema, type JobView } from '@lipsync/core/contract';
import { killRunning } from './processes.ts';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';

/** Processes to kill, with a part of their command line. */
const victims = [
  { name: 'worker', text: 'apps/worker/src/main.ts' },
  { name: 'redis', text: 'redis-server' },
  { name: 'ffmpeg', text: 'ffmpeg -nostdin' },
  { name: 'render process', text: 'render-process' },
  { name: 'api', text: 'apps/api/src/main.ts' },
] as const;

const stages = ['listening', 'tracking', 'rendering', 'publishing'] as const;
const timeLimitMs = 5 * 60_000;
/** Some stages are very short. */
const pollMs = 10;

interface Outcome {
  /** Whether a process was killed while the job was in the stage. */
  readonly wasKilled: boolean;
  readonly job: JobView;
  readonly outputs: number;
  readonly leftovers: number;
  readonly records: number;
  readonly seconds: number;
}

/**
 * Kills each kind of process with SIGKILL in each stage of a job. The job must complete once and leave no other files.
 * A row is marked as missed when the stage was too short or the process does not run in it.
 */
export async function proveKills(): Promise<boolean> {
  console.log(
    '| killed | while | status | attempts | outputs | records | leftovers | s |\n|---|---|---|---|---|---|---|---|',
  );
  let holds = true;
  for (const victim of victims) {
    let kills = 0;
    for (const stage of stages) {
      const { wasKilled, job, outputs, leftovers, records, seconds } = await killDuring(victim.text, stage);
      const attempts = job.attempts.map(({ outcome, code }) => code ?? outcome).join(', ');
      console.log(
        `| ${victim.name} | ${stage}${wasKilled ? '' : ' (missed)'} | ${job.status} | ${attempts} | ${outputs} | ${records} | ${leftovers} | ${seconds.toFixed(1)} |`,
      );
      holds &&= !wasKilled || (job.status === 'completed' && outputs === 1 && records === 1 && leftovers === 0);
      kills += wasKilled ? 1 : 0;
    }
    // A short stage can be missed, but each process must be killed in at least one stage.
    holds &&= kills > 0;
  }
  return holds;
}

async function killDuring(text: string, stage: string): Promise<Outcome> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startScratchStack({ QUEUE_LOCK_MS: '2000', QUEUE_STALLED_INTERVAL_MS: '1000' }, signal);
  try {
    const startedMs = performance.now();
    const { id } = await stack.submit(samplePaths);
    const seen = await waitUntil(stack, id, (job) => job.stage === stage || hasEnded(job), signal);
    const killed = seen.stage === stage && !hasEnded(seen) ? killRunning(text) : 0;
    const job = await waitUntil(stack, id, hasEnded, signal);
    const seconds = (performance.now() - startedMs) / 1000;
    const { jobs } = (await (await fetch(`${stack.url}/lipsync`, { signal })).json()) as { jobs: unknown[] };
    return {
      wasKilled: killed > 0,
      job,
      seconds,
      records: jobs.length,
      outputs: (await stack.outputs()).length,
      leftovers: (await stack.leftovers()).length,
    };
  } finally {
    await stack.stop();
  }
}

function hasEnded({ status }: JobView): boolean {
  return status !== 'queued' && status !== 'processing';
}

/** Polls until the job meets the condition. Retries while the API or Redis is down. */
async function waitUntil(
  stack: ScratchStack,
  id: string,
  isReached: (job: JobView) => boolean,
  signal: AbortSignal,
): Promise<JobView> {
  for (;;) {
    const job = await readJob(stack, id, signal).catch((error: unknown) => {
      if (signal.aborted) throw error;
      return undefined;
    });
    if (job && isReached(job)) return job;
    await sleep(pollMs, undefined, { signal });
  }
}

async function readJob(stack: ScratchStack, id: string, signal: AbortSignal): Promise<JobView | undefined> {
  const response = await fetch(`${stack.url}/lipsync/${id}`, { signal });
  return response.ok ? jobViewSchema.parse(await response.json()) : undefined;
}
