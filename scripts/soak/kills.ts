import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema, type JobView } from '@lipsync/core/contract';
import { descendantsRunning } from './processes.ts';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';

/** Who is killed, and how its command line is recognized. */
const victims = [
  { name: 'worker', text: 'apps/worker/src/main.ts' },
  { name: 'redis', text: 'redis-server' },
  { name: 'ffmpeg', text: 'ffmpeg -nostdin' },
  { name: 'render process', text: 'render-process' },
  { name: 'api', text: 'apps/api/src/main.ts' },
] as const;

const stages = ['listening', 'tracking', 'rendering', 'publishing'] as const;
const longestMs = 5 * 60_000;
/** Some stages last a blink. */
const pollMs = 10;

interface Outcome {
  /** Whether the process was running while the job was in the stage. */
  readonly hit: boolean;
  readonly job: JobView;
  readonly outputs: number;
  readonly leftovers: number;
  readonly records: number;
  readonly seconds: number;
}

/**
 * Kills each part with SIGKILL in the middle of a job, in each stage; the job must complete once and leave nothing else.
 * Where the stage was over before it was seen, or the part is not there in it, the row says that it was missed.
 */
export async function proveKills(): Promise<boolean> {
  console.log(
    '| killed | while | status | attempts | outputs | records | leftovers | s |\n|---|---|---|---|---|---|---|---|',
  );
  let holds = true;
  for (const victim of victims) {
    let hits = 0;
    for (const stage of stages) {
      const { hit, job, outputs, leftovers, records, seconds } = await killDuring(victim.text, stage);
      const attempts = job.attempts.map(({ outcome, code }) => code ?? outcome).join(', ');
      console.log(
        `| ${victim.name} | ${stage}${hit ? '' : ' (missed)'} | ${job.status} | ${attempts} | ${outputs} | ${records} | ${leftovers} | ${seconds.toFixed(1)} |`,
      );
      holds &&= !hit || (job.status === 'completed' && outputs === 1 && records === 1 && leftovers === 0);
      hits += hit ? 1 : 0;
    }
    // Missing a quick stage is bad luck; missing all of them would prove nothing.
    holds &&= hits > 0;
  }
  return holds;
}

async function killDuring(text: string, stage: string): Promise<Outcome> {
  const signal = AbortSignal.timeout(longestMs);
  const stack = await startScratchStack({ QUEUE_LOCK_MS: '2000', QUEUE_STALLED_INTERVAL_MS: '1000' }, signal);
  try {
    const startedMs = performance.now();
    const { id } = await stack.client.submit(samplePaths, {});
    const seen = await until(stack, id, (job) => job.stage === stage || isAtEnd(job), signal);
    const pids = seen.stage === stage && !isAtEnd(seen) ? descendantsRunning(text) : [];
    for (const pid of pids) kill(pid);
    const job = await until(stack, id, isAtEnd, signal);
    const seconds = (performance.now() - startedMs) / 1000;
    const { jobs } = (await (await fetch(`${stack.url}/lipsync`, { signal })).json()) as { jobs: unknown[] };
    return {
      hit: pids.length > 0,
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

function isAtEnd({ status }: JobView): boolean {
  return status !== 'queued' && status !== 'processing';
}

/** Processes may end between the look at the table and the kill. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Asks until the job is as wanted; an API that is down or has no Redis is asked again. */
async function until(
  stack: ScratchStack,
  id: string,
  wanted: (job: JobView) => boolean,
  signal: AbortSignal,
): Promise<JobView> {
  for (;;) {
    const job = await look(stack, id, signal).catch((error: unknown) => {
      if (signal.aborted) throw error;
      return undefined;
    });
    if (job && wanted(job)) return job;
    await sleep(pollMs, undefined, { signal });
  }
}

async function look(stack: ScratchStack, id: string, signal: AbortSignal): Promise<JobView | undefined> {
  const response = await fetch(`${stack.url}/lipsync/${id}`, { signal });
  return response.ok ? jobViewSchema.parse(await response.json()) : undefined;
}
