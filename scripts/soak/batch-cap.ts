import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { batchViewSchema, type BatchView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const itemCount = Number(process.env['SOAK_BATCH_ITEMS'] ?? 30);
/** Items whose price the limit covers. */
const coveredItems = itemCount / 3;
const workerCount = 3;
const killEveryMs = 2_500;
/** A job fails after five crashes. */
const maxKills = 12;
const timeLimitMs = 15 * 60_000;
const pollMs = 500;
/** Delay of each response, so that kills interrupt workers between request and response. */
const responseDelayMs = 150;

/**
 * Runs a batch with a cost limit that covers a third of its items at HeyGen, on several workers of which one is killed
 * every few seconds. What is reserved and spent must never exceed the limit, the other items must be rendered by the
 * local renderer, and the ledger must equal the stand-in's wallet.
 */
export async function proveBatchCap(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack(
    { standin: { settings: { pace: paceByReads, maxConcurrent: 100 } }, environment: { HEYGEN_MAX_CONCURRENT: '6' } },
    signal,
  );
  try {
    return await run(stack, signal);
  } finally {
    await stack.stop();
  }
}

const estimateSchema = z.object({ providers: z.array(z.object({ provider: z.string(), cost_usd: z.number() })) });

async function run(stack: HeygenStack, signal: AbortSignal): Promise<boolean> {
  for (const route of ['create', 'get'] as const)
    stack.standin.control.addFaults({
      match: { route },
      fault: { kind: 'delay', delayMs: responseDelayMs },
      times: 'always',
    });
  const estimate = await postJson(`${stack.url}/estimate`, { video_duration_ms: 1_000, audio_duration_ms: 1_000 });
  const { providers } = estimateSchema.parse(estimate);
  const price = providers.find(({ provider }) => provider === 'heygen')?.cost_usd ?? 0;
  const limitMicros = Math.round(price * (coveredItems + 0.5) * 1e6);
  const startedMs = performance.now();
  const { id } = await submit(stack, limitMicros / 1e6);
  const ended = new AbortController();
  const during = AbortSignal.any([signal, ended.signal]);
  const highest = watchHighest(stack, id, during);
  const kills = killWorkers(stack, during);
  let batch: BatchView;
  do {
    await sleep(pollMs, undefined, { signal });
    batch = batchViewSchema.parse(await (await fetch(`${stack.url}/batches/${id}`, { signal })).json());
  } while (batch.completed_at === null);
  ended.abort();
  const [highestMicros, killed] = [await highest, await kills];
  const seconds = (performance.now() - startedMs) / 1000;
  const by = (method: string): number => batch.results.filter(({ method_used: used }) => used === method).length;
  const { charges, walletMicros, spentMicros, reservedMicros, pendingSettlements } = await stack.readBalances();
  const leftovers = (await stack.leftovers()).length;
  console.log(
    '| items | kills | s | limit, µ$ | highest reserved and spent, µ$ | wallet, µ$ | ledger, µ$ | by HeyGen | by preview | failed | charges | leftovers |',
  );
  console.log(`|${'---|'.repeat(12)}`);
  console.log(
    `| ${itemCount} | ${killed} | ${seconds.toFixed(0)} | ${limitMicros} | ${highestMicros} | ${walletMicros} | ${spentMicros} | ${by('heygen')} | ${by('preview')} | ${batch.summary.failed} | ${charges} | ${leftovers} |`,
  );
  return (
    batch.summary.success === itemCount &&
    by('heygen') + by('preview') === itemCount &&
    by('heygen') > 0 &&
    by('preview') > 0 &&
    charges === by('heygen') &&
    walletMicros === spentMicros &&
    highestMicros > 0 &&
    highestMicros <= limitMicros &&
    spentMicros <= limitMicros &&
    [reservedMicros, pendingSettlements, leftovers].every((count) => count === 0)
  );
}

async function submit(stack: HeygenStack, maxCostUsd: number): Promise<BatchView> {
  const { videoPath, audioPath } = await shortenSample(stack.folder, 1);
  const form = new FormData();
  const rows = Array.from({ length: itemCount }, () => `${basename(videoPath)},${basename(audioPath)}`);
  form.append('manifest', new Blob([['video,audio', ...rows].join('\n')]), 'batch.csv');
  for (const path of [videoPath, audioPath]) form.append('files', await openAsBlob(path), basename(path));
  const fields = { max_cost_usd: maxCostUsd, optimize: 'quality', allow_preview: true, cache: false };
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  const response = await fetch(`${stack.url}/batches`, { method: 'POST', body: form });
  const body: unknown = await response.json();
  if (response.status !== 202) throw new Error(`The batch was refused: ${JSON.stringify(body)}`);
  return batchViewSchema.parse(body);
}

async function postJson(url: string, body: object): Promise<unknown> {
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}

const totalSchema = z.object({ reservedMicros: z.number(), spentMicros: z.number() });

/** Returns the highest sum of what is reserved and spent for a batch until the signal aborts. */
async function watchHighest({ state }: HeygenStack, id: string, signal: AbortSignal): Promise<number> {
  const key = `ledger/batch/${id}`;
  let highest = 0;
  while (!signal.aborted) {
    const document = await state.transact([key], (documents) => ({ result: documents.get(key) }));
    if (document !== undefined) {
      const { reservedMicros, spentMicros } = totalSchema.parse(document);
      highest = Math.max(highest, reservedMicros + spentMicros);
    }
    await sleep(3);
  }
  return highest;
}

/** Kills the oldest of several workers again and again, and replaces it. Returns the number of kills. */
async function killWorkers(stack: HeygenStack, signal: AbortSignal): Promise<number> {
  const workers: GuardedProcess[] = [];
  for (let count = 0; count < workerCount; count += 1) workers.push(await stack.startWorker());
  let kills = 0;
  while (!signal.aborted) {
    await sleep(killEveryMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted || kills === maxKills) continue;
    const worker = workers.shift();
    if (!worker) break;
    process.kill(worker.pid, 'SIGKILL');
    await worker.exited;
    kills += 1;
    workers.push(await stack.startWorker());
  }
  await Promise.all(workers.map((worker) => worker.stop()));
  return kills;
}
