import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Ledger } from '../billing/ledger.ts';
import { systemClock } from '../contract/system-ports.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type { StateStore } from '../storage/state-store.ts';
import { toMicros } from '../billing/micros.ts';

/** A task for a child process that uses a state store. */
export type StateTask =
  | { readonly task: 'count'; readonly key: string; readonly times: number }
  /** Dies inside a transaction, after it read and before it wrote. */
  | { readonly task: 'die'; readonly key: string }
  | {
      readonly task: 'reserve';
      readonly jobIds: readonly string[];
      readonly micros: number;
      readonly dailyMicros: number;
      readonly atMs: number;
    }
  /** Goes through `limit` places with each job; answers with the most holders that it saw at once. */
  | { readonly task: 'visit'; readonly provider: string; readonly jobIds: readonly string[]; readonly limit: number }
  | { readonly task: 'probe'; readonly provider: string; readonly who: string };

export interface StateChild {
  /** The number that the task comes to. */
  ask(task: StateTask): Promise<number>;
  /** Resolves with the signal that it died of. */
  died(): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts a program that calls `serveStateTasks`. The caller stops it. */
export function startStateChild(program: URL, programArguments: readonly string[]): StateChild {
  const child = fork(program, [...programArguments], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const gone = once(child, 'exit');
  return {
    async ask(task) {
      const answer = once(child, 'message');
      child.send(task);
      return Number((await Promise.race([answer, gone.then(() => Promise.reject(new Error('the child is gone')))]))[0]);
    },
    died: async () => (await gone)[1],
    stop: () => stop(child, gone),
  };
}

async function stop(child: ChildProcess, gone: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL');
  await gone;
}

/** In the child: does one task after the other until the parent is gone. */
export function serveStateTasks(state: StateStore): void {
  let last: Promise<unknown> = Promise.resolve();
  process.on('message', (task: StateTask) => {
    last = last.then(async () => process.send?.(await perform(state, task)));
  });
  process.on('disconnect', () => process.exit());
}

async function perform(state: StateStore, task: StateTask): Promise<number> {
  switch (task.task) {
    case 'count':
      return count(state, task.key, task.times);
    case 'die':
      return die(state, task.key);
    case 'reserve':
      return reserve(state, task);
    case 'visit':
      return visit(state, task);
    case 'probe': {
      const admission = await new CircuitBreaker({ state, clock: systemClock }).admit(task.provider, task.who);
      return admission.admitted ? 1 : 0;
    }
  }
}

async function count(state: StateStore, key: string, times: number): Promise<number> {
  for (let time = 0; time < times; time += 1) {
    await state.transact([key], (documents) => ({
      result: undefined,
      writes: new Map([[key, Number(documents.get(key) ?? 0) + 1]]),
    }));
  }
  return times;
}

function die(state: StateStore, key: string): Promise<number> {
  return state.transact([key], () => {
    process.kill(process.pid, 'SIGKILL');
    return { result: 0, writes: new Map([[key, 'written by the dead']]) };
  });
}

async function reserve(
  state: StateStore,
  { jobIds, micros, dailyMicros, atMs }: Extract<StateTask, { task: 'reserve' }>,
): Promise<number> {
  const ledger = new Ledger({
    state,
    clock: systemClock,
    caps: { dailyMicros: toMicros(dailyMicros), monthlyMicros: null, userDailyMicros: null },
  });
  const results = await Promise.allSettled(
    jobIds.map((jobId) =>
      ledger.reserve({ id: `${jobId}.1`, jobId, provider: 'heygen', user: null, micros: toMicros(micros), atMs }),
    ),
  );
  return results.filter(({ status }) => status === 'fulfilled').length;
}

async function visit(
  state: StateStore,
  { provider, jobIds, limit }: Extract<StateTask, { task: 'visit' }>,
): Promise<number> {
  const slots = createConcurrencySlots({ state, clock: systemClock });
  const mostSeen = await Promise.all(
    jobIds.map(async (jobId) => {
      while (!(await slots.acquire(provider, jobId, { limit }))) await delay(5 + Math.random() * 20);
      const holders = await slots.holders(provider);
      await delay(Math.random() * 10);
      await slots.release(provider, jobId);
      return holders.some((holder) => holder.jobId === jobId) ? holders.length : Number.POSITIVE_INFINITY;
    }),
  );
  return Math.max(...mostSeen);
}
