import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobView } from '@lipsync/core/contract';
import type { MouthMode } from '../../packages/heygen-standin/src/index.ts';
import { writeMouthModel } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { isWritten, openKillPointWatcher, type KillPoint, type KillPointWatcher } from './heygen-kill-points.ts';
import { compareMoney, paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';
import { killRunning } from './processes.ts';

const timeLimitMs = 60 * 60_000;
/** Limit for a job to reach a step; assessments are slow on a busy machine. */
const pointLimitMs = 8 * 60_000;
const workerScript = join('apps', 'worker', 'src', 'main.ts');
/** Long enough for an offset that can be trusted. */
const faultSeconds = 6;
const killSeconds = 2;

/** Takes of the vendor with a fatal fault, and the labels that name it. */
const faults: readonly { readonly mouth: MouthMode; readonly labels: readonly string[] }[] = [
  { mouth: 'shifted', labels: ['sound_late'] },
  { mouth: 'old', labels: ['lips_unchanged'] },
  { mouth: 'frozen', labels: ['mouth_frozen', 'lips_unchanged'] },
];

const isRejected = /"code":"quality_rejected"/;
/** Every worker is killed when a job first reaches one of these steps. */
const killPoints: readonly KillPoint[] = [
  {
    name: 'first take kept, not assessed',
    matches: isWritten(/"outcome":"succeeded"/, /"take":\{/, /"kind":"lipsync"/),
  },
  { name: 'assessing', matches: isWritten(/"stage":"checking"/) },
  { name: 'rejected', matches: isWritten(isRejected, /"status":"processing"/) },
  { name: 'transferred to the render lane', matches: isWritten(isRejected, /"status":"queued"/) },
  { name: 'second attempt stored', matches: isWritten(isRejected, /"outcome":"running"/) },
  { name: 'second take kept, not assessed', matches: isWritten(isRejected, /"outcome":"succeeded"/) },
  {
    name: 'second take accepted',
    matches: isWritten(isRejected, /"outcome":"succeeded".*"quality":\{/, /"status":"processing"/),
  },
  { name: 'output published', matches: ({ kind }) => kind === 'output' },
];

/**
 * The vendor returns takes with a fatal fault. Each must be rejected with the label of its fault, and the take of the
 * second provider must be delivered, also when every worker is killed at each step. No job is charged twice.
 */
export async function proveQualityGate(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-gate-'));
  const modelPath = join(folder, 'mouth.onnx');
  await writeMouthModel(modelPath, { cropSizePx: 96 });
  try {
    return await proveOn(modelPath);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function proveOn(modelPath: string): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack(
    {
      standin: { settings: { pace: paceByReads, maxConcurrent: 100 } },
      environment: { LIPSYNC_QUALITY: 'on', QUEUE_LOCK_MS: '8000', WAV2LIP_MODEL_PATH: modelPath },
    },
    signal,
  );
  const watcher = await openKillPointWatcher({
    control: stack.standin.control,
    redisUrl: stack.redisUrl,
    outputDir: stack.outputDir,
  });
  let worker: GuardedProcess | undefined;
  try {
    worker = await stack.startWorker();
    const jobs: JobView[] = [];
    let holds = await proveFaults(stack, jobs);
    holds = (await proveSingleProvider(stack, jobs)) && holds;
    const sample = await shortenSample(stack.folder, killSeconds);
    stack.standin.control.changeSettings({ mouth: 'frozen' });
    console.log(
      '\n| workers killed when | reached | runs | operations | delivered by | attempts |\n|---|---|---|---|---|---|',
    );
    for (const point of killPoints) {
      const submitted = await stack.submit(sample);
      const killed = await killWorkersAt(point, watcher);
      if (killed) worker = await replace(worker, stack);
      const job = await stack.waitFor(submitted.id);
      jobs.push(job);
      holds = (await printKill(stack, { job, point, killed })) && holds;
    }
    return (await checkMoney(stack, jobs)) && holds;
  } finally {
    watcher.close();
    await worker?.stop();
    await stack.stop();
  }
}

async function proveFaults(stack: HeygenStack, jobs: JobView[]): Promise<boolean> {
  const sample = await shortenSample(stack.folder, faultSeconds);
  console.log(
    '| takes of the vendor | delivered by | attempts | fatal labels of the rejected take | warnings |\n|---|---|---|---|---|',
  );
  let holds = true;
  for (const { mouth, labels } of faults) {
    stack.standin.control.changeSettings({ mouth });
    const job = await stack.waitFor((await stack.submit(sample)).id);
    jobs.push(job);
    const found = fatalLabels(job);
    const warnings = job.warnings.map(({ code }) => code).filter((code) => !code.startsWith('engine_'));
    console.log(
      `| ${mouth} | ${job.method_used} | ${describeAttempts(job)} | ${found.join(', ')} | ${warnings.join(', ')} |`,
    );
    holds &&= isWonBySecond(job) && labels.some((label) => found.includes(label)) && warnings.length === 0;
  }
  return holds;
}

/** Without another provider the rejected take is delivered, once, with the warning. */
async function proveSingleProvider(stack: HeygenStack, jobs: JobView[]): Promise<boolean> {
  const sample = await shortenSample(stack.folder, killSeconds);
  stack.standin.control.changeSettings({ mouth: 'frozen' });
  const submitted = await stack.submit(sample, { method: 'heygen' });
  const job = await stack.waitFor(submitted.id);
  jobs.push(job);
  const warnings = job.warnings.map(({ code }) => code);
  console.log(
    `| frozen, no other provider | ${job.method_used} | ${describeAttempts(job)} | ${fatalLabels(job).join(', ')} | ${warnings.join(', ')} |`,
  );
  return job.method_used === 'heygen' && job.attempts.length === 1 && warnings.includes('quality_below_request');
}

function fatalLabels({ attempts }: JobView): readonly string[] {
  return attempts[0]?.quality?.labels.filter(({ fatal }) => fatal).map(({ code }) => code) ?? [];
}

function isWonBySecond({ status, method_used: method, attempts }: JobView): boolean {
  const [first] = attempts;
  return (
    status === 'completed' &&
    method === 'wav2lip' &&
    first?.code === 'quality_rejected' &&
    (first.cost_usd ?? 0) > 0 &&
    attempts.at(-1)?.outcome === 'succeeded'
  );
}

function describeAttempts({ attempts }: JobView): string {
  return attempts
    .map(({ provider, code, outcome, cost_usd: usd }) => `${provider} ${code ?? outcome} $${usd}`)
    .join(', ');
}

/** Returns whether the step was reached in time. */
async function killWorkersAt(point: KillPoint, watcher: KillPointWatcher): Promise<boolean> {
  return watcher.waitFor(point, pointLimitMs, () => void killRunning(workerScript));
}

/** The stack restarts its own worker; this one is started again here. */
async function replace(worker: GuardedProcess, stack: HeygenStack): Promise<GuardedProcess> {
  await worker.exited;
  return stack.startWorker();
}

async function printKill(
  { standin, store }: HeygenStack,
  { job, point, killed }: { readonly job: JobView; readonly point: KillPoint; readonly killed: boolean },
): Promise<boolean> {
  const { operations } = standin.control.operations();
  const count = operations.filter(({ callbackId }) => callbackId === job.id).length;
  const runs = (await store.get(job.id))?.runs ?? 0;
  const end = job.error ? `${job.status}: ${job.error.code}` : job.method_used;
  console.log(`| ${point.name} | ${killed ? 'yes' : 'no'} | ${runs} | ${count} | ${end} | ${describeAttempts(job)} |`);
  return killed && count === 1 && isWonBySecond(job);
}

async function checkMoney(stack: HeygenStack, jobs: readonly JobView[]): Promise<boolean> {
  const { columns, values, leftovers, isBalanced } = await compareMoney(stack, jobs);
  console.log(`\n| jobs | ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length + 1)}`);
  console.log(`| ${[jobs.length, ...values].join(' | ')} |`);
  if (leftovers.length > 0) console.log(leftovers.join('\n'));
  return isBalanced;
}
