import { setTimeout as delay } from 'node:timers/promises';
import { isTerminal, LipsyncError, type JobRecord, type JobStore } from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { interruptChannel, jobChannel } from './job-keys.ts';

/** Ends a subscription; can be called more than once. */
export type Unsubscribe = () => Promise<void>;

/** Announces changes of job records. */
export interface JobWatcher {
  /**
   * Calls `onChange` shortly after each change of the job, for a batch also after a change of its totals, and after a
   * reconnect because changes may have been missed.
   * Throws `resource_exhausted` when Redis cannot be reached.
   */
  subscribe(jobId: string, onChange: () => void): Promise<Unsubscribe>;
}

type Listener = () => void;

/**
 * Redis publish/subscribe over one connection, which can run no other commands meanwhile. Messages that are sent while
 * the connection is down are lost: after a reconnect every listener is called once. The caller closes the connection.
 */
export class RedisJobNotifications implements JobWatcher {
  readonly #connection: Redis;
  /** By channel. */
  readonly #changeListeners = new Map<string, Set<Listener>>();
  /** By job id. */
  readonly #interruptListeners = new Map<string, Set<Listener>>();
  #isSubscribedToInterrupts = false;

  constructor({ connection }: { readonly connection: Redis }) {
    this.#connection = connection;
    connection.on('message', (channel: string, message: string) => {
      if (channel === interruptChannel) callAll(this.#interruptListeners.get(message));
      else callAll(this.#changeListeners.get(channel));
    });
    connection.on('ready', () => {
      for (const listeners of [...this.#changeListeners.values(), ...this.#interruptListeners.values()])
        callAll(listeners);
    });
  }

  async subscribe(jobId: string, onChange: () => void): Promise<Unsubscribe> {
    const channel = jobChannel(jobId);
    const remove = addListener(this.#changeListeners, channel, onChange);
    const unsubscribe = async (): Promise<void> => {
      if (!remove()) return;
      // A connection that is down has no subscription left to end.
      await this.#connection.unsubscribe(channel).catch(() => undefined);
    };
    try {
      await guardRedis(() => this.#connection.subscribe(channel));
      return unsubscribe;
    } catch (error) {
      await unsubscribe();
      throw error;
    }
  }

  /**
   * Calls `onInterrupt` when the current run of a job should check whether it must stop: the job was canceled, or
   * another run claimed it. All jobs share one channel. A message can be lost while Redis is unreachable, so the caller
   * also polls.
   */
  watchInterrupts(jobId: string, onInterrupt: () => void): () => void {
    const remove = addListener(this.#interruptListeners, jobId, onInterrupt);
    void this.#subscribeToInterrupts();
    return () => void remove();
  }

  async #subscribeToInterrupts(): Promise<void> {
    if (this.#isSubscribedToInterrupts) return;
    this.#isSubscribedToInterrupts = true;
    try {
      // ioredis repeats the subscription after a reconnect.
      await this.#connection.subscribe(interruptChannel);
    } catch {
      this.#isSubscribedToInterrupts = false;
    }
  }
}

function callAll(listeners: ReadonlySet<Listener> | undefined): void {
  for (const listener of listeners ?? []) listener();
}

/** Returns a function that removes the listener; it returns true when that was the last one of its key. */
function addListener(listeners: Map<string, Set<Listener>>, key: string, callback: Listener): () => boolean {
  // Wrapped, so that a function that is added twice is called twice.
  const listener = (): void => callback();
  listeners.set(key, (listeners.get(key) ?? new Set()).add(listener));
  return () => {
    const ofKey = listeners.get(key);
    if (!ofKey?.delete(listener) || ofKey.size > 0) return false;
    listeners.delete(key);
    return true;
  };
}

export interface WatchJobDependencies {
  readonly store: Pick<JobStore, 'get'>;
  readonly watcher: JobWatcher;
  /** Interval between reads without a notification. */
  readonly pollIntervalMs: number;
}

/**
 * Yields the record now and after each change, until the job has ended or was deleted, or `signal` aborts. Changes in
 * quick succession can be merged into one. Survives an outage of Redis after the first record. Throws `not_found`, and
 * `resource_exhausted` when Redis is unreachable at the start.
 */
export async function* watchJob(
  { store, ...dependencies }: WatchJobDependencies,
  jobId: string,
  signal: AbortSignal,
): AsyncGenerator<JobRecord, void> {
  if (!(await store.get(jobId))) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
  let lastRevision = -1;
  for await (const record of watchChanges(dependencies, { jobId, signal, read: () => store.get(jobId) })) {
    if (!record) return;
    if (record.revision <= lastRevision) continue;
    lastRevision = record.revision;
    yield record;
    if (isTerminal(record.status)) return;
  }
}

export interface WatchChangesOptions<State> {
  readonly jobId: string;
  readonly signal: AbortSignal;
  readonly read: () => Promise<State>;
}

/**
 * Yields what `read` returns now, after each notification of a job, and after each poll interval, until `signal` aborts.
 * Skips reads that throw `resource_exhausted`. Throws that error when Redis is unreachable at the start.
 */
export async function* watchChanges<State>(
  { watcher, pollIntervalMs }: Omit<WatchJobDependencies, 'store'>,
  { jobId, signal, read }: WatchChangesOptions<State>,
): AsyncGenerator<State, void> {
  const change = new ChangeSignal();
  const unsubscribe = await watcher.subscribe(jobId, () => change.set());
  try {
    while (!signal.aborted) {
      const reading = await readDuringOutage(read);
      if (reading) yield reading.state;
      await change.wait(pollIntervalMs, signal);
    }
  } finally {
    await unsubscribe();
  }
}

/** Undefined while Redis is unreachable. */
async function readDuringOutage<State>(read: () => Promise<State>): Promise<{ readonly state: State } | undefined> {
  try {
    return { state: await read() };
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return undefined;
    throw error;
  }
}

class ChangeSignal {
  #next = Promise.withResolvers<void>();

  set(): void {
    this.#next.resolve();
  }

  /**
   * Resolves at the next `set`, at once if there was one since the last wait, or when time or `signal` end the wait.
   */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const timer = delay(timeoutMs, undefined, { signal: AbortSignal.any([signal, stop.signal]) }).catch(
      () => undefined,
    );
    await Promise.race([this.#next.promise, timer]);
    stop.abort();
    this.#next = Promise.withResolvers<void>();
  }
}
