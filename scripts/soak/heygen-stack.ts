import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock, type JobStore, type StateStore } from '@lipsync/core/host';
import { createClientConnection, RedisConcurrencySlots, RedisJobStore, RedisStateStore } from '@lipsync/queue';
import {
  startHeygenStandin,
  type HeygenStandin,
  type HeygenStandinOptions,
} from '../../packages/heygen-standin/src/index.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';

/** The service with a HeyGen stand-in and without cloud workers: each soak test starts and stops its own. */
export interface HeygenStack extends Omit<ScratchStack, 'startWorker'> {
  readonly standin: HeygenStandin;
  /** A folder for the files of the soak test. */
  readonly folder: string;
  readonly store: JobStore;
  readonly state: StateStore;
  startWorker(environment?: Readonly<Record<string, string>>): Promise<GuardedProcess>;
  readBalances(): Promise<Balances>;
  /** Version of the engine of the worker that started last; null before. */
  readEngineVersion(): Promise<string | null>;
  stop(): Promise<void>;
}

/** The costs that the service recorded and the charges of the stand-in's wallet, in millionths of a dollar. */
export interface Balances {
  readonly spentMicros: number;
  readonly reservedMicros: number;
  readonly walletMicros: number;
  readonly charges: number;
  /** Jobs that hold a concurrency slot at HeyGen. */
  readonly slotsHeld: number;
  /** Attempts that ended before their cost was known. */
  readonly pendingSettlements: number;
}

export interface MoneyFigures {
  /** Names and values of the columns of a table. */
  readonly columns: readonly string[];
  readonly values: readonly number[];
  readonly leftovers: readonly string[];
  /** Whether each job has one charge, all sums are equal, and nothing is reserved, held, pending or left over. */
  readonly isBalanced: boolean;
}

/** Compares the wallet of the stand-in, the ledger and what ended jobs report. */
export async function compareMoney(
  stack: HeygenStack,
  jobs: readonly { readonly cost_usd: number | null }[],
): Promise<MoneyFigures> {
  const balances = await stack.readBalances();
  const { charges, walletMicros, spentMicros, reservedMicros, slotsHeld, pendingSettlements } = balances;
  const reportedMicros = Math.round(jobs.reduce((sum, { cost_usd: usd }) => sum + (usd ?? 0), 0) * 1e6);
  const leftovers = await stack.leftovers();
  const open = [reservedMicros, slotsHeld, pendingSettlements, leftovers.length];
  return {
    columns: [
      'charges',
      'wallet, µ$',
      'ledger, µ$',
      'reported by jobs, µ$',
      'reserved, µ$',
      'slots held',
      'pending settlements',
      'leftovers',
    ],
    values: [charges, walletMicros, spentMicros, reportedMicros, ...open],
    leftovers,
    isBalanced:
      charges === jobs.length &&
      walletMicros === spentMicros &&
      reportedMicros === walletMicros &&
      open.every((count) => count === 0),
  };
}

export interface HeygenStackOptions {
  readonly standin?: HeygenStandinOptions;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Every read advances an operation, so that no soak test depends on the stand-in's clock. */
export const paceByReads = { by: 'reads', pendingReads: 1, runningReads: 1 } as const;

const costsSchema = z.object({ total: z.object({ cost_usd: z.number(), reserved_usd: z.number() }) });

export async function startHeygenStack(
  { standin: standinOptions = {}, environment = {} }: HeygenStackOptions,
  signal: AbortSignal,
): Promise<HeygenStack> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-'));
  // The clip's own lips: drawing new ones would take longer than the soak test.
  const settings = { mouth: 'old' as const, ...standinOptions.settings };
  const standin = await startHeygenStandin({ ...standinOptions, settings });
  const stack = await startScratchStack(
    {
      ...standinEnvironment(standin),
      HEYGEN_POLL_INTERVAL_MS: '100',
      // The takes have the old lips: they would be rejected.
      LIPSYNC_QUALITY: 'off',
      QUEUE_LOCK_MS: '4000',
      QUEUE_STALLED_INTERVAL_MS: '500',
      // The stack restarts its own worker, which therefore takes no HeyGen jobs.
      WORKER_LANES: 'render',
      ...environment,
    },
    signal,
  ).catch(async (error: unknown) => {
    await standin.close();
    throw error;
  });
  const connection = createClientConnection({ url: stack.redisUrl, onError: () => undefined });
  const state = new RedisStateStore({ connection });
  const slots = new RedisConcurrencySlots({ connection, clock: systemClock });
  return {
    ...stack,
    standin,
    folder,
    state,
    store: new RedisJobStore({ connection }),
    startWorker: (more = {}) => stack.startWorker({ WORKER_LANES: 'cloud', ...more }),
    readEngineVersion: () => connection.get('lipsync:engine-version'),
    async readBalances() {
      const { total } = costsSchema.parse(await (await fetch(`${stack.url}/costs`, { signal })).json());
      const { spentMicros: walletMicros, charges } = standin.control.wallet();
      return {
        spentMicros: Math.round(total.cost_usd * 1e6),
        reservedMicros: Math.round(total.reserved_usd * 1e6),
        walletMicros,
        charges: charges.length,
        slotsHeld: (await slots.holders('heygen')).length,
        pendingSettlements: (await state.list('open-bills/', { limit: 1_000 })).length,
      };
    },
    async stop() {
      connection.disconnect();
      await stack.stop();
      await standin.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
