import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { JobView } from '@lipsync/core/contract';
import type { JobFields } from '../lib/create-job.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const timeLimitMs = 15 * 60_000;
const faultsToOpen = 5;
const jobsAtOnce = 20;
const maxConcurrent = 5;
const openLimitMs = 180_000;
const pollIntervalMs = 200;
const onlyHeygen = { method: 'heygen' } as const;
/** Ends before the breaker admits a probe, so that the job fails instead of waiting for one. */
const beforeProbe = { method: 'heygen', deadline_ms: 10_000 } as const;
const previewAllowed = { method: 'auto', allow_preview: true } as const;

type Sample = { readonly videoPath: string; readonly audioPath: string };

const providersSchema = z.object({
  providers: z.array(
    z.object({ id: z.string(), breaker: z.object({ state: z.string(), reason: z.string().nullable() }) }),
  ),
});

/**
 * The circuit breaker across worker processes: failures in one worker open it, another worker respects it, two workers
 * start a single probe, and its success closes it. Then counts the calls that many jobs with a rejected key cause.
 */
export async function proveHeygenBreaker(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack(
    { standin: { settings: { pace: paceByReads } }, environment: { HEYGEN_MAX_CONCURRENT: String(maxConcurrent) } },
    signal,
  );
  try {
    const sample = await shortenSample(stack.folder, 1);
    console.log('| step | seen | breaker |\n|---|---|---|');
    const isBreakerShared = await checkSharedBreaker(stack, sample, signal);
    return (await checkRejectedKey(stack, sample)) && isBreakerShared;
  } finally {
    await stack.stop();
  }
}

async function checkSharedBreaker(stack: HeygenStack, sample: Sample, signal: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  const first = await stack.startWorker();
  control.addFaults({
    match: { route: 'create' },
    fault: { kind: 'fail', reason: 'download_failed' },
    times: 'always',
  });
  for (let count = 0; count < faultsToOpen; count += 1) await runJobs(stack, sample, 1);
  const opened = await printStep(stack, `worker 1: ${faultsToOpen} operations failed`);
  await first.stop();
  const second = await stack.startWorker();
  const callsBefore = countCalls(stack);
  const [refused] = await runJobs(stack, sample, 1, beforeProbe);
  const sharedState = await printStep(
    stack,
    `worker 2, which saw no failure: job ${refused?.error?.code}, ${countCalls(stack) - callsBefore} calls`,
  );
  const isShared = countCalls(stack) === callsBefore && refused?.error?.code === 'provider_unavailable';
  control.clearFaults();
  control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
  await waitUntil(async () => (await breakerState(stack)).state === 'half_open', signal);
  const third = await stack.startWorker();
  const before = control.operations().operations.length;
  const running = runJobs(stack, sample, jobsAtOnce);
  // The probe is held until all other jobs wait for it.
  await waitUntil(
    async () => control.operations().runningNow > 0 && (await countWaiting(stack)) >= jobsAtOnce - 1,
    signal,
  );
  const probes = control.operations().operations.length - before;
  const probed = await printStep(stack, `workers 2 and 3, ${jobsAtOnce} jobs at once: ${probes} operation`);
  control.release();
  const jobs = await running;
  const completed = jobs.filter(({ status }) => status === 'completed').length;
  const closed = await printStep(stack, `the probe has completed: ${completed} of ${jobs.length} completed`);
  const after = await runJobs(stack, sample, 4);
  const again = await printStep(
    stack,
    `4 more jobs: ${after.filter(({ status }) => status === 'completed').length} completed`,
  );
  await Promise.all([second.stop(), third.stop()]);
  return (
    opened === 'open' &&
    isShared &&
    sharedState === 'open' &&
    probes === 1 &&
    probed !== 'closed' &&
    completed === jobsAtOnce &&
    closed === 'closed' &&
    again === 'closed' &&
    after.every(({ status }) => status === 'completed')
  );
}

async function checkRejectedKey(stack: HeygenStack, sample: Sample): Promise<boolean> {
  const workers = await Promise.all(
    [1, 2].map(() => stack.startWorker({ HEYGEN_API_KEY: 'sk_V2_of_another_account' })),
  );
  const start = countCalls(stack);
  const jobs = await runJobs(stack, sample, 1);
  const one = countCalls(stack) - start;
  const state = await printStep(stack, `a rejected key, one job: ${one} call, job ${jobs[0]?.error?.code}`);
  const more = await runJobs(stack, sample, jobsAtOnce);
  const rest = countCalls(stack) - start - one;
  await printStep(
    stack,
    `${jobsAtOnce} more jobs: ${rest} calls, ${more.filter(({ error }) => error?.code === 'provider_unavailable').length} refused without a call`,
  );
  await stack.state.transact(['breaker/heygen'], () => ({
    result: undefined,
    writes: new Map([['breaker/heygen', null]]),
  }));
  const callsBeforeJobs = countCalls(stack);
  const local = await runJobs(stack, sample, jobsAtOnce, previewAllowed);
  const callsOfJobs = countCalls(stack) - callsBeforeJobs;
  const completedByPreview = local.filter(
    ({ status, method_used: method }) => status === 'completed' && method === 'preview',
  ).length;
  await printStep(
    stack,
    `breaker reset, then ${jobsAtOnce} jobs at once with preview allowed: ${callsOfJobs} call with ${maxConcurrent} slots, ${completedByPreview} completed by preview`,
  );
  await Promise.all(workers.map((worker) => worker.stop()));
  return one === 1 && state === 'open' && rest === 0 && callsOfJobs === 1 && completedByPreview === jobsAtOnce;
}

async function runJobs(
  stack: HeygenStack,
  sample: Sample,
  count: number,
  fields: JobFields = onlyHeygen,
): Promise<readonly JobView[]> {
  const accepted = await Promise.all(Array.from({ length: count }, () => stack.submit(sample, fields)));
  return Promise.all(accepted.map(({ id }) => stack.waitFor(id)));
}

function countCalls({ standin }: HeygenStack): number {
  return standin.control.log().filter(({ route }) => route !== null).length;
}

async function countWaiting({ url }: HeygenStack): Promise<number> {
  const { jobs } = z
    .object({ jobs: z.array(z.object({ message: z.string() })) })
    .parse(await (await fetch(`${url}/lipsync?status=processing&limit=100`)).json());
  return jobs.filter(({ message }) => message.includes('recovers')).length;
}

async function breakerState({ url }: HeygenStack): Promise<{ readonly state: string; readonly reason: string | null }> {
  const { providers } = providersSchema.parse(await (await fetch(`${url}/providers`)).json());
  return providers.find(({ id }) => id === 'heygen')?.breaker ?? { state: 'unknown', reason: null };
}

/** Prints a row of the table. Returns the state of the breaker. */
async function printStep(stack: HeygenStack, step: string): Promise<string> {
  const { state, reason } = await breakerState(stack);
  console.log(`| ${step} | ${reason === null ? state : `${state} (${reason})`} |`);
  return state;
}

/** Returns without an error when the time limit passes: the checks that follow report the missing state. */
async function waitUntil(isReached: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (const endMs = performance.now() + openLimitMs; !(await isReached());) {
    if (performance.now() > endMs) return;
    await sleep(pollIntervalMs, undefined, { signal });
  }
}
