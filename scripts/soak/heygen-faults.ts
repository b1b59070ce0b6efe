import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configFromEnvironment } from '@lipsync/core/config';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { createLedger, systemClock, type JobRecord, type StateStore } from '@lipsync/core';
import { startHeygenStandin, type HeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import { createSqliteStateStore } from '../../packages/lipsync-core/src/state/sqlite-state-store.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { downloads, failures, refusals, troubles, type FaultCase } from './heygen-fault-sheet.ts';

/** For an operation, and for an attempt without one; a busy machine needs some of it for its own part. */
const timeoutMs = 40_000;
/** Which faults to try, by name; all of them where nothing is said. */
const wanted = new RegExp(process.env['HEYGEN_FAULTS'] ?? '');

interface Bench {
  readonly folder: string;
  readonly standin: HeygenStandin;
  readonly state: StateStore;
  readonly host: ReturnType<typeof createLocalHost>;
  readonly inputs: { readonly videoPath: string; readonly audioPath: string };
}

/** Every fault of HeyGen once, each with a job through the whole service of a program; the preview may step in. */
export async function proveHeygenFaults(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-faults-'));
  const standin = await startHeygenStandin({ settings: { pace: { by: 'reads', pendingReads: 1, runningReads: 1 } } });
  const dataDir = join(folder, 'data');
  const config = configFromEnvironment({ ...standinEnvironment(standin), HEYGEN_POLL_INTERVAL_MS: '100', HEYGEN_TIMEOUT_MS: String(timeoutMs), LIPSYNC_DATA_DIR: dataDir });
  const host = createLocalHost(config);
  const state = createSqliteStateStore({ path: join(dataDir, 'state.sqlite') });
  try {
    const bench: Bench = { folder, standin, state, host, inputs: await shortenSample(folder, 1) };
    let holds = true;
    for (const [title, cases] of [['refused orders', refusals], ['operations that fail', failures], ['other troubles', troubles], ['downloads', downloads]] as const) {
      console.log(`\n| ${title} | made by | attempts | cost, µ$ | wallet, µ$ | operations | s |\n|---|---|---|---|---|---|---|`);
      for (const fault of cases.filter(({ name }) => wanted.test(name))) holds = (await tryFault(bench, fault)) && holds;
    }
    return holds;
  } finally {
    await host.close();
    await state.close();
    await standin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** True when the job did as it must, and the ledger says what the stand-in was paid. */
async function tryFault({ folder, standin, state, host, inputs }: Bench, fault: FaultCase): Promise<boolean> {
  const { control } = standin;
  await control.reset();
  await clear(state, ['breaker/', 'ledger/', 'open-bills/']);
  fault.script(control);
  const startedMs = performance.now();
  const { record } = await host.localJobs.run({
    ...inputs, outputPath: join(folder, 'out.mp4'), overwrite: true, options: lipsyncOptionsSchema.parse({ method: 'auto', allowPreview: true }),
  }, {});
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const made = record.result?.methodUsed ?? null;
  const attempts = record.attempts.map(({ provider, outcome, code }) => `${provider}: ${code ?? outcome}`).join(', ');
  const costMicros = record.attempts.reduce((sum, attempt) => sum + (attempt.costMicros ?? 0), 0);
  const walletMicros = control.wallet().spentMicros;
  const spentMicros = await spentIn(state);
  const operations = control.operations().operations.length;
  const first = record.attempts.find(({ provider }) => provider === 'heygen');
  const isAsItMust = made === fault.made && (first?.code ?? null) === fault.code && operations <= 1 && control.leaks().length === 0;
  const isBalanced = spentMicros === walletMicros || isOpen(record);
  const remark = isAsItMust && isBalanced ? '' : ` expected ${fault.made}, ${fault.code}; ledger ${spentMicros}; ${record.error?.message ?? first?.message ?? ''}`;
  console.log(`| ${fault.name} | ${made ?? `nobody: ${record.error?.code}`} | ${attempts} | ${costMicros} | ${walletMicros} | ${operations} | ${seconds} |${remark}`);
  return isAsItMust && isBalanced;
}

/** The cost is not known yet: the operation was left running, or its order went unanswered. */
function isOpen({ attempts }: JobRecord): boolean {
  return attempts.some(({ costMicros }) => costMicros === null);
}

async function clear(state: StateStore, prefixes: readonly string[]): Promise<void> {
  for (const prefix of prefixes) {
    const keys = (await state.list(prefix, { limit: 100 })).map(({ key }) => key);
    await Promise.all(keys.map((key) => state.transact([key], () => ({ result: undefined, writes: new Map([[key, null]]) }))));
  }
}

async function spentIn(state: StateStore): Promise<number> {
  const ledger = createLedger({ state, clock: systemClock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
  const rows = await ledger.sum({ fromMs: 0, toMs: Date.now() + 86_400_000, groupBy: 'day' });
  return rows.reduce((sum, { spentMicros }) => sum + spentMicros, 0);
}
