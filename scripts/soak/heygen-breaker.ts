import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const longestMs = 15 * 60_000;
const faultsToOpen = 5;
const crowd = 20;
const maxConcurrent = 5;
const openLimitMs = 180_000;
const lookMs = 200;
const onlyHeygen = { method: 'heygen' } as const;
const previewAllowed = { method: 'auto', allow_preview: 'true' } as const;

type Sample = { readonly videoPath: string; readonly audioPath: string };

const providersSchema = z.object({
  providers: z.array(
    z.object({ id: z.string(), breaker: z.object({ state: z.string(), reason: z.string().nullable() }) }),
  ),
});

/**
 * The breaker over two worker processes: opened by faults that one saw, obeyed by the other, probed once by both
 * together, closed. Then a refused key: what a crowd of jobs costs in calls.
 */
export async function proveHeygenBreaker(): Promise<boolean> {
  const signal = AbortSignal.timeout(longestMs);
  const stack = await startHeygenStack(
    { standin: { settings: { pace: paceByReads } }, environment: { HEYGEN_MAX_CONCURRENT: String(maxConcurrent) } },
    signal,
  );
  try {
    const sample = await shortenSample(stack.folder, 1);
    console.log('| step | seen | breaker |\n|---|---|---|');
    const opens = await faultsOpen(stack, sample, signal);
    return (await refusedKey(stack, sample)) && opens;
  } finally {
    await stack.stop();
  }
}

async function faultsOpen(stack: HeygenStack, sample: Sample, signal: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  const first = await stack.startWorker();
  control.addFaults({
    match: { route: 'create' },
    fault: { kind: 'fail', reason: 'download_failed' },
    times: 'always',
  });
  for (let count = 0; count < faultsToOpen; count += 1) await runJobs(stack, sample, 1);
  const opened = await tell(stack, `worker 1: ${faultsToOpen} operations failed`);
  await first.stop();
  const second = await stack.startWorker();
  const callsBefore = calls(stack);
  const [refused] = await runJobs(stack, sample, 1);
  const sharedState = await tell(
    stack,
    `worker 2, which saw no failure: job ${refused?.error?.code}, ${calls(stack) - callsBefore} calls`,
  );
  const isShared = calls(stack) === callsBefore && refused?.error?.code === 'provider_unavailable';
  control.clearFaults();
  control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
  await until(async () => (await breakerState(stack)).state === 'half_open', signal);
  const third = await stack.startWorker();
  const before = control.operations().operations.length;
  const running = runJobs(stack, sample, crowd);
  // All but the probe are refused; the probe is held until they are.
  await until(
    async () => control.operations().runningNow > 0 && (await countFailed(stack)) >= faultsToOpen + crowd,
    signal,
  );
  const probes = control.operations().operations.length - before;
  const probed = await tell(stack, `workers 2 and 3, ${crowd} jobs at once: ${probes} operation`);
  control.release();
  const jobs = await running;
  const completed = jobs.filter(({ status }) => status === 'completed').length;
  const closed = await tell(stack, `the probe is done: ${completed} completed, ${jobs.length - completed} refused`);
  const after = await runJobs(stack, sample, 4);
  const again = await tell(
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
    completed === 1 &&
    closed === 'closed' &&
    again === 'closed' &&
    after.every(({ status }) => status === 'completed')
  );
}

async function refusedKey(stack: HeygenStack, sample: Sample): Promise<boolean> {
  const workers = await Promise.all([1, 2].map(() => stack.startWorker({ HEYGEN_API_KEY: 'sk_V2_of_somebody_else' })));
  const start = calls(stack);
  const jobs = await runJobs(stack, sample, 1);
  const one = calls(stack) - start;
  const state = await tell(stack, `a refused key, one job: ${one} call, job ${jobs[0]?.error?.code}`);
  const more = await runJobs(stack, sample, crowd);
  const rest = calls(stack) - start - one;
  await tell(
    stack,
    `${crowd} more jobs: ${rest} calls, ${more.filter(({ error }) => error?.code === 'provider_unavailable').length} refused here`,
  );
  await stack.state.transact(['breaker/heygen'], () => ({
    result: undefined,
    writes: new Map([['breaker/heygen', null]]),
  }));
  const beforeCrowd = calls(stack);
  const local = await runJobs(stack, sample, crowd, previewAllowed);
  const ofCrowd = calls(stack) - beforeCrowd;
  const madeHere = local.filter(
    ({ status, method_used: method }) => status === 'completed' && method === 'preview',
  ).length;
  await tell(
    stack,
    `forgotten, then ${crowd} jobs at once, with a local engine: ${ofCrowd} call with ${maxConcurrent} slots, ${madeHere} completed here`,
  );
  await Promise.all(workers.map((worker) => worker.stop()));
  return one === 1 && state === 'open' && rest === 0 && ofCrowd === 1 && madeHere === crowd;
}

async function runJobs(
  { client }: HeygenStack,
  sample: Sample,
  count: number,
  fields: Readonly<Record<string, string>> = onlyHeygen,
): Promise<readonly JobView[]> {
  const accepted = await Promise.all(Array.from({ length: count }, () => client.submit(sample, fields)));
  return Promise.all(accepted.map(({ id }) => client.follow(id, () => undefined)));
}

function calls({ standin }: HeygenStack): number {
  return standin.control.log().filter(({ route }) => route !== null).length;
}

async function countFailed({ url }: HeygenStack): Promise<number> {
  const { jobs } = z
    .object({ jobs: z.array(z.unknown()) })
    .parse(await (await fetch(`${url}/lipsync?status=failed&limit=100`)).json());
  return jobs.length;
}

async function breakerState({ url }: HeygenStack): Promise<{ readonly state: string; readonly reason: string | null }> {
  const { providers } = providersSchema.parse(await (await fetch(`${url}/providers`)).json());
  return providers.find(({ id }) => id === 'heygen')?.breaker ?? { state: 'unknown', reason: null };
}

async function tell(stack: HeygenStack, seen: string): Promise<string> {
  const { state, reason } = await breakerState(stack);
  console.log(`| ${seen} | ${reason === null ? state : `${state} (${reason})`} |`);
  return state;
}

async function until(holds: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (const endMs = performance.now() + openLimitMs; !(await holds());) {
    if (performance.now() > endMs) return;
    await sleep(lookMs, undefined, { signal });
  }
}
