import { setTimeout as sleep } from 'node:timers/promises';
import { startGuarded, type GuardedProcess, type ProcessPlan } from './guarded-process.ts';

const firstBackoffMs = 100;
const longestBackoffMs = 5000;
/** A process that served this long starts again without a history of failures. */
const stableAfterMs = 10_000;
const mostFailuresInARow = 10;

export interface KeptProcess {
  /** Resolves when the stack must give up on it, with the reason; never when it is stopped on purpose. */
  readonly gaveUp: Promise<Error>;
  /** Stops the process without restarting it. */
  stop(): Promise<void>;
}

export interface KeepRunningOptions {
  readonly plan: ProcessPlan;
  /** Resolves when the process serves; runs again after each restart. The signal fires when the process has ended or took too long. */
  readonly whenReady: (process: GuardedProcess, signal: AbortSignal) => Promise<void>;
  readonly readyTimeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Starts a process, waits until it serves, and from then on starts it again whenever it ends by itself.
 * Throws when the first start does not come to serve: that is a fault to report, not one to repeat.
 */
export async function keepRunning(options: KeepRunningOptions): Promise<KeptProcess> {
  const stopping = new AbortController();
  let current = await startUntilReady(options, stopping.signal);
  const gaveUp = Promise.withResolvers<Error>();
  const watch = watchAndRestart(options, current, stopping.signal, (next) => {
    current = next;
  });
  const ended = watch.then(
    (failure) => {
      if (failure !== undefined) gaveUp.resolve(failure);
    },
    (error: unknown) =>
      gaveUp.resolve(new Error(`The launcher could not watch ${options.plan.name}.`, { cause: error })),
  );
  return {
    gaveUp: gaveUp.promise,
    async stop() {
      stopping.abort();
      await current.stop();
      await ended;
    },
  };
}

/** Returns the reason when too many starts in a row failed; undefined once it was stopped on purpose. */
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
    if (failures > mostFailuresInARow)
      return new Error(`${options.plan.name} ended ${failures} times in a row (last: ${end}).`);
    options.plan.onEvent(`${options.plan.name} ended by itself (${end}); starting it again`);
    await pause(Math.min(longestBackoffMs, firstBackoffMs * 2 ** (failures - 1)), stopping);
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
    endedEarly.abort(new Error(`${plan.name} ended before it served (${end}).${lastWords(started)}`)),
  );
  const tooLate = AbortSignal.timeout(readyTimeoutMs);
  const given = AbortSignal.any([signal, stopping, endedEarly.signal, tooLate]);
  try {
    await whenReady(started, given);
    given.throwIfAborted();
    return started;
  } catch (error) {
    await started.stop();
    throw tooLate.aborted
      ? new Error(`${plan.name} did not serve within ${readyTimeoutMs} ms.${lastWords(started)}`, { cause: error })
      : error;
  }
}

function lastWords({ lastLines }: GuardedProcess): string {
  return lastLines.length === 0 ? '' : ` It said last:\n  ${lastLines.join('\n  ')}`;
}

async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
