import type { MediaFile, MediaLibrary } from '../assets/media-library.ts';
import type { LiveSettings } from '../settings.ts';
import { remainingMs, type Operation, type OperationStatus } from './operation.ts';
import { priceMicros, type Wallet } from './wallet.ts';

export interface RunDependencies {
  readonly settings: LiveSettings;
  readonly media: MediaLibrary;
  readonly wallet: Wallet;
  readonly now: () => number;
  /** Told once of every operation that is completed or failed. */
  readonly onEnd: (operation: Operation) => void;
}

/** Longest sleep of a timer in Node. */
const longestSleepMs = 2 ** 31 - 1;

/** Takes an operation through its phases; debits the wallet when it is completed. Never throws; ends when it is deleted. */
export async function runOperation(
  operation: Operation,
  files: { readonly video: MediaFile; readonly audio: MediaFile },
  dependencies: RunDependencies,
): Promise<void> {
  const {
    abort: { signal },
    outcome,
  } = operation;
  try {
    await leavePhase(operation, dependencies);
    enter(operation, 'running', dependencies);
    operation.started.resolve();
    const render = (durationMs: number): Promise<string> =>
      dependencies.media.render(
        { ...files, durationMs, keepSize: operation.request.keep_the_same_format === true },
        signal,
      );
    // One that is stuck has all the time in the world; thousands of them must not keep the machine busy.
    const early = 'durationMs' in outcome && operation.stuckAt === null ? render(outcome.durationMs) : undefined;
    early?.catch(() => undefined);
    await leavePhase(operation, dependencies);
    if ('failure' in outcome) fail(operation, outcome.failure, dependencies);
    else complete(operation, await (early ?? render(outcome.durationMs)), outcome.durationMs, dependencies);
  } catch {
    if (!signal.aborted) fail(operation, 'Video generation failed, please try again', dependencies);
  } finally {
    operation.started.resolve();
    operation.ended.resolve();
  }
}

/** Waits until the operation may leave its phase; looks again whenever it is nudged. */
async function leavePhase(operation: Operation, { settings, now }: RunDependencies): Promise<void> {
  const { signal } = operation.abort;
  for (;;) {
    signal.throwIfAborted();
    const waitMs = remainingMs(operation, settings.current, now());
    if (waitMs <= 0) return;
    await nudgeOrTimeout(operation, Math.min(waitMs, longestSleepMs));
  }
}

function nudgeOrTimeout(operation: Operation, waitMs: number): Promise<void> {
  const { signal } = operation.abort;
  return new Promise((resolve) => {
    const timer = setTimeout(wake, waitMs);
    function wake(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      operation.nudge = () => undefined;
      resolve();
    }
    operation.nudge = wake;
    signal.addEventListener('abort', wake, { once: true });
  });
}

function enter(operation: Operation, status: OperationStatus, { now }: RunDependencies): void {
  operation.status = status;
  operation.phaseStartedAtMs = now();
}

function fail(operation: Operation, message: string, dependencies: RunDependencies): void {
  enter(operation, 'failed', dependencies);
  operation.failureMessage = message;
  dependencies.onEnd(operation);
}

function complete(operation: Operation, path: string, durationMs: number, dependencies: RunDependencies): void {
  const { settings, wallet, now, onEnd } = dependencies;
  // Deleted while the last frame was written: nobody will fetch it, nobody pays.
  operation.abort.signal.throwIfAborted();
  enter(operation, 'completed', dependencies);
  operation.output = { path, durationMs };
  const { mode } = operation.request;
  const { speedMicrosPerSecond, precisionMicrosPerSecond } = settings.current;
  const amountMicros = priceMicros(durationMs, mode === 'speed' ? speedMicrosPerSecond : precisionMicrosPerSecond);
  wallet.debit({ lipsyncId: operation.id, mode, durationMs, amountMicros, at: new Date(now()).toISOString() });
  onEnd(operation);
}
