import { setTimeout as sleep } from 'node:timers/promises';
import { readableLine } from './log-record.ts';
import { startGuarded, type GuardedProcess, type ProcessPlan } from './guarded-process.ts';

const firstBackoffMs = 100;
const maxBackoffMs = 5000;
/** After running for this time, a process has no failures in its history. */
const stableAfterMs = 10_000;
const maxConsecutiveFailures = 10;

export interface KeptProcess {
  /** Resolves with the reason when the process keeps failing; never after `stop`. */
  readonly failed: Promise<Error>;
  /** Stops the process without restarting it. */
  stop(): Promise<void>;
}

export interface KeepRunningOptions {
  readonly plan: ProcessPlan;
  /**
   * Resolves when the process is ready; called after each start. The signal aborts when the process exits or is too
   * slow.
   */
  readonly whenReady: (process: GuardedProcess, signal: AbortSignal) => Promise<void>;
  /** If absent, the process may take as long as it needs. */
  readonly readyTimeoutMs?: number;
  readonly signal: AbortSignal;
}

/**
 * Starts a process, waits until it is ready, and restarts it whenever it exits. Throws when the first start fails,
 * because a retry would fail too.
 */
export async function keepRunning(options: KeepRunningOptions): Promise<KeptProcess> {
  const stopping = new AbortController();
  let current = await startUntilReady(options, stopping.signal);
  const failed = Promise.withResolvers<Error>();
  const watch = watchAndRestart(options, current, stopping.signal, (next) => {
    current = next;
  });
  const ended = watch.then(
    (failure) => {
      if (failure !== undefined) failed.resolve(failure);
    },
    (error: unknown) =>
      failed.resolve(new Error(`The launcher could not watch ${options.plan.name}.`, { cause: error })),
  );
  return {
    failed: failed.promise,
    async stop() {
      stopping.abort();
      await current.stop();
      await ended;
    },
  };
}

/** Returns the reason when too many consecutive starts failed; undefined after `stop`. */
async function watchAndRestart(
  options: KeepRunningOptions,
  first: GuardedProcess,
  stopping: AbortSignal,
  onStart: (process: GuardedProcess) => void,
): Promise<Error | undefined> {
  let failures = 0;
  let current: GuardedProcess | undefined = first;
  let end = '';
  for (;;) {
    const startedMs = performance.now();
    if (current !== undefined) end = await current.exited;
    if (stopping.aborted) return undefined;
    failures = performance.now() - startedMs > stableAfterMs ? 1 : failures + 1;
    if (failures > maxConsecutiveFailures)
      return new Error(`${options.plan.name} exited ${failures} times in a row (last: ${end}).`);
    options.plan.onEvent(`${options.plan.name} exited (${end}); restarting it`);
    await pause(Math.min(maxBackoffMs, firstBackoffMs * 2 ** (failures - 1)), stopping);
    if (stopping.aborted) return undefined;
    current = await startUntilReady(options, stopping, onStart).catch((error: unknown) => {
      end = error instanceof Error ? error.message : String(error);
      return undefined;
    });
  }
}

async function startUntilReady(
  { plan, whenReady, readyTimeoutMs, signal }: KeepRunningOptions,
  stopping: AbortSignal,
  onStart?: (process: GuardedProcess) => void,
): Promise<GuardedProcess> {
  const started = await startGuarded(plan);
  onStart?.(started);
  const endedEarly = new AbortController();
  void started.exited.then((end) =>
    endedEarly.abort(new Error(`${plan.name} exited before it was ready (${end}).${lastOutput(started)}`)),
  );
  const timeout = readyTimeoutMs === undefined ? undefined : AbortSignal.timeout(readyTimeoutMs);
  const readySignal = AbortSignal.any([signal, stopping, endedEarly.signal, ...(timeout ? [timeout] : [])]);
  try {
    await whenReady(started, readySignal);
    readySignal.throwIfAborted();
    return started;
  } catch (error) {
    await started.stop();
    throw timeout?.aborted
      ? new Error(`${plan.name} was not ready within ${readyTimeoutMs} ms.${lastOutput(started)}`, { cause: error })
      : error;
  }
}

function lastOutput({ lastLines }: GuardedProcess): string {
  return lastLines.length === 0 ? '' : ` Last output:\n  ${lastLines.map(readableLine).join('\n  ')}`;
}

async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
