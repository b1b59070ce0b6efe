import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { configFromEnvironment, type CoreConfig } from '@lipsync/core/config';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { Ledger, createLipsyncCore, systemClock, type StateStore } from '@lipsync/core/host';
import { startHeygenStandin, type HeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import { SqliteStateStore } from '../../packages/lipsync-core/src/storage/sqlite-state-store.ts';
import { runFault, requiredOutcome, type FaultBench } from '../../packages/lipsync-core/test/heygen/fault-run.ts';
import { faultTable, type FaultCase } from '../../packages/lipsync-core/test/heygen/fault-table.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { paceByReads } from './heygen-stack.ts';

/** Time limit of an operation, long enough for a busy machine. */
const timeoutMs = 120_000;
/** Time limit of an operation for faults that last until the limit. */
const shortTimeoutMs = 10_000;
const slowMs = 31_000;
const reconcileLimitMs = 30_000;
/** Selects faults by name; all by default. */
const namePattern = new RegExp(process.env['HEYGEN_FAULTS'] ?? '');

/** Runs one job with each fault of HeyGen through the in-process service; the preview is allowed as a fallback. */
export async function proveHeygenFaults(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-faults-'));
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, mouth: 'old' } });
  const service = await openService(folder, standin);
  try {
    let holds = true;
    for (const [title, cases] of faultTable) {
      console.log(
        `\n| ${title} | made by | attempts | reported by the job, µ$ | wallet, µ$ | ledger, µ$ | s |\n|---|---|---|---|---|---|---|`,
      );
      for (const fault of cases.filter(({ name }) => namePattern.test(name))) {
        await standin.control.reset();
        await deleteDocuments(service.state, ['breaker/', 'ledger/', 'open-bills/']);
        holds = (await checkFault(fault, service.bench(fault))) && holds;
      }
    }
    return holds;
  } finally {
    await service.close();
    await standin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Service {
  readonly state: StateStore;
  bench(fault: FaultCase): FaultBench;
  close(): Promise<void>;
}

/** Opens two in-process services over one state, which differ in the time limit of an operation. */
async function openService(folder: string, standin: HeygenStandin): Promise<Service> {
  const dataDir = join(folder, 'data');
  const configWith = (limitMs: number): CoreConfig =>
    configFromEnvironment({
      ...standinEnvironment(standin),
      // The takes have the old lips: they would be rejected.
      LIPSYNC_QUALITY: 'off',
      HEYGEN_POLL_INTERVAL_MS: '100',
      HEYGEN_TIMEOUT_MS: String(limitMs),
      LIPSYNC_DATA_DIR: dataDir,
    });
  const inputs = await shortenSample(folder, 1);
  const [host, shortTimeoutHost] = [
    createLocalHost(configWith(timeoutMs)),
    createLocalHost(configWith(shortTimeoutMs)),
  ];
  const state = new SqliteStateStore({ path: join(dataDir, 'state.sqlite') });
  let aheadMs = 0;
  const core = createLipsyncCore(configWith(timeoutMs), {
    state,
    slotPollIntervalMs: 1_000,
    clock: { nowMs: () => systemClock.nowMs() + aheadMs },
  });
  const ledger = new Ledger({
    state,
    clock: systemClock,
    caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
  });
  const options = lipsyncOptionsSchema.parse({ method: 'auto', allowPreview: true });
  return {
    state,
    bench: ({ waitsForTimeout }) => ({
      control: standin.control,
      state,
      ledger,
      slowMs,
      run: () =>
        (waitsForTimeout ? shortTimeoutHost : host).localJobs.run(
          { ...inputs, outputPath: join(folder, 'out.mp4'), overwrite: true, options },
          {},
        ),
      reconcile(later) {
        aheadMs = later;
        standin.control.changeSettings({ pace: { by: 'reads', pendingReads: 0, runningReads: 0 } });
        return core.reconcile(AbortSignal.timeout(reconcileLimitMs));
      },
    }),
    async close() {
      await Promise.all([host.close(), shortTimeoutHost.close(), core.close()]);
      await state.close();
    },
  };
}

/** Prints the outcome of a job. True when it is the required one and the ledger equals the stand-in's wallet. */
async function checkFault(fault: FaultCase, bench: FaultBench): Promise<boolean> {
  const { tookMs, errorMessage, ...outcome } = await runFault(fault, bench);
  const required = requiredOutcome(fault, outcome);
  const holds = isDeepStrictEqual(outcome, required);
  const { made, attempts, costMicros, walletMicros, spentMicros } = outcome;
  const remark = holds ? '' : ` DOES NOT HOLD: ${JSON.stringify({ outcome, required })} ${errorMessage}`;
  console.log(
    `| ${[fault.name, made ?? 'none', attempts.join(', '), costMicros ?? 'not known yet', walletMicros, spentMicros, (tookMs / 1000).toFixed(1)].join(' | ')} |${remark}`,
  );
  return holds;
}

async function deleteDocuments(state: StateStore, prefixes: readonly string[]): Promise<void> {
  for (const prefix of prefixes) {
    const keys = (await state.list(prefix, { limit: 100 })).map(({ key }) => key);
    await Promise.all(
      keys.map((key) => state.transact([key], () => ({ result: undefined, writes: new Map([[key, null]]) }))),
    );
  }
}
