import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema } from '@lipsync/core/contract';
import { killRunning } from './processes.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';
import { WebhookReceiver, webhookSecret } from './webhook-receiver.ts';

const rounds = 12;
const jobsPerRound = 10;
/** Killed in turn while the jobs of a round end: the API stores their ends, workers create and send the messages. */
const victims = [
  ['apps/api/src/main.ts'],
  ['apps/worker/src/main.ts'],
  ['apps/api/src/main.ts', 'apps/worker/src/main.ts'],
] as const;
const deliveryLimitMs = 3 * 60_000;

/**
 * Cancels jobs with a webhook and kills API and workers between the stored end and the delivery, while the receiver
 * refuses, redirects or ignores a third of the messages at first. Each end must arrive once or twice, with one id.
 */
export async function proveWebhooks(): Promise<boolean> {
  const signal = AbortSignal.timeout(15 * 60_000);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-webhooks-'));
  const receiver = await WebhookReceiver.start();
  const environment = {
    LIPSYNC_WEBHOOK_SECRETS: webhookSecret,
    LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1',
    // Without a render worker the jobs wait until they are canceled.
    WORKER_LANES: 'cloud',
    QUEUE_LOCK_MS: '2000',
    QUEUE_STALLED_INTERVAL_MS: '1000',
  };
  const stack = await startScratchStack(environment, signal);
  try {
    const jobs: string[] = [];
    let kills = 0;
    for (let round = 0; round < rounds; round += 1) {
      const submitted = await submitJobs(stack, { folder, round, webhookUrl: receiver.url });
      const canceled = Promise.allSettled(submitted.map((id) => cancel(stack, id, signal)));
      await sleep(Math.random() * 60, undefined, { signal });
      for (const victim of victims[round % victims.length] ?? []) kills += killRunning(victim);
      await canceled;
      for (const id of submitted) await cancelUntilEnded(stack, id, signal);
      jobs.push(...submitted);
    }
    const missing = await waitForAll(receiver, jobs, signal);
    return report(receiver, { jobs, kills, missing });
  } finally {
    await stack.stop();
    receiver.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function report(
  receiver: WebhookReceiver,
  { jobs, kills, missing }: { readonly jobs: readonly string[]; readonly kills: number; readonly missing: number },
): boolean {
  const accepted = jobs.map((id) => receiver.accepted.get(id) ?? []);
  const twice = accepted.filter(({ length }) => length === 2).length;
  const more = accepted.filter(({ length }) => length > 2).length;
  const severalIds = accepted.filter((ids) => new Set(ids).size > 1).length;
  const figures = {
    jobs: jobs.length,
    kills,
    requests: receiver.requests,
    'not accepted at first': receiver.refused,
    'accepted once': accepted.filter(({ length }) => length === 1).length,
    'accepted twice': twice,
    'more often': more,
    never: missing,
    'with several ids': severalIds,
    'wrong signatures': receiver.wrongSignatures,
  };
  console.log(`| ${Object.keys(figures).join(' | ')} |\n|${'---|'.repeat(Object.keys(figures).length)}`);
  console.log(`| ${Object.values(figures).join(' | ')} |`);
  return missing + more + severalIds + receiver.wrongSignatures === 0 && kills > 0;
}

async function submitJobs(
  stack: ScratchStack,
  { folder, round, webhookUrl }: { readonly folder: string; readonly round: number; readonly webhookUrl: string },
): Promise<string[]> {
  const path = join(folder, `${round}.bin`);
  await writeFile(path, `input of round ${round}`);
  const files = { videoPath: path, audioPath: path };
  const fields = { method: 'preview', webhook_url: webhookUrl };
  const jobs = await Promise.all(Array.from({ length: jobsPerRound }, () => stack.submit(files, fields)));
  return jobs.map(({ id }) => id);
}

function cancel(stack: ScratchStack, id: string, signal: AbortSignal): Promise<Response> {
  return fetch(`${stack.url}/lipsync/${id}/cancel`, { method: 'POST', signal });
}

/** Repeats the request until an API answers that the job has ended. */
async function cancelUntilEnded(stack: ScratchStack, id: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const response = await cancel(stack, id, signal).catch(() => undefined);
    signal.throwIfAborted();
    if (response?.status === 409) return;
    if (response?.ok && jobViewSchema.parse(await response.json()).status === 'canceled') return;
    await sleep(200, undefined, { signal });
  }
}

/** Returns the number of jobs whose end was never accepted. Waits a little longer, for messages that arrive twice. */
async function waitForAll(receiver: WebhookReceiver, jobs: readonly string[], signal: AbortSignal): Promise<number> {
  const untilMs = performance.now() + deliveryLimitMs;
  const countMissing = (): number => jobs.filter((id) => !receiver.accepted.has(id)).length;
  while (countMissing() > 0 && performance.now() < untilMs) await sleep(500, undefined, { signal });
  await sleep(8_000, undefined, { signal });
  return countMissing();
}
