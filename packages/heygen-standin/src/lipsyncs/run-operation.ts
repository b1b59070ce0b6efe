import type { MediaFile, MediaLibrary } from '../assets/media-library.ts';
import { failureMessages } from '../faults/fault-types.ts';
import { NoFaceError } from '../media/moving-mouth.ts';
import type { LiveSettings } from '../settings.ts';
import { remainingMs, type Operation, type OperationStatus } from './operation.ts';
import { priceMicros, type Wallet } from './wallet.ts';

export interface RunDependencies {
  readonly settings: LiveSettings;
  readonly media: MediaLibrary;
  readonly wallet: Wallet;
  readonly now: () => number;
  /** Called once for every operation that completes or fails. */
  readonly onEnd: (operation: Operation) => void;
}

/** The longest delay that Node timers support. */
const maxTimerMs = 2 ** 31 - 1;

/** Runs an operation through its phases and debits the wallet when it completes. Stops on deletion. Never throws. */
export async function runOperation(
  operation: Operation,
  files: { readonly video: MediaFile; readonly audio: MediaFile },
  dependencies: RunDependencies,
): Promise<void> {
  const { abort, outcome } = operation;
  // That of its creation: a later change applies to the jobs that follow.
  const { mouth } = dependencies.settings.current;
  try {
    await waitForPhaseEnd(operation, dependencies);
    enterStatus(operation, 'running', dependencies);
    operation.started.resolve();
    if (outcome.type === 'failure') {
      await waitForPhaseEnd(operation, dependencies);
      fail(operation, outcome.message, dependencies);
      return;
    }
    const { durationMs } = outcome;
    const keepSize = operation.request.keep_the_same_format === true;
    const render = (): Promise<string> =>
      dependencies.media.render({ ...files, durationMs, keepSize, mouth }, abort.signal);
    // A stuck operation renders only after its release, so that thousands of them do not load the machine.
    const early = operation.stuckAt === null ? render() : undefined;
    early?.catch(() => undefined);
    await waitForPhaseEnd(operation, dependencies);
    complete(operation, await (early ?? render()), durationMs, dependencies);
  } catch (error) {
    const message =
      error instanceof NoFaceError ? failureMessages.no_face : 'Video generation failed, please try again';
    if (!abort.signal.aborted) fail(operation, message, dependencies);
  } finally {
    operation.started.resolve();
    operation.ended.resolve();
  }
}

/** Waits until the current phase ends. A nudge checks again. */
async function waitForPhaseEnd(operation: Operation, { settings, now }: RunDependencies): Promise<void> {
  const { signal } = operation.abort;
  for (;;) {
    signal.throwIfAborted();
    const waitMs = remainingMs(operation, settings.current, now());
    if (waitMs <= 0) return;
    await waitForNudge(operation, Math.min(waitMs, maxTimerMs));
  }
}

function waitForNudge(operation: Operation, timeoutMs: number): Promise<void> {
  const { signal } = operation.abort;
  return new Promise((resolve) => {
    const timer = setTimeout(wake, timeoutMs);
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

function enterStatus(operation: Operation, status: OperationStatus, { now }: RunDependencies): void {
  operation.status = status;
  operation.phaseStartedAtMs = now();
}

function fail(operation: Operation, message: string, dependencies: RunDependencies): void {
  enterStatus(operation, 'failed', dependencies);
  operation.failureMessage = message;
  dependencies.onEnd(operation);
}

function complete(operation: Operation, path: string, durationMs: number, dependencies: RunDependencies): void {
  const { settings, wallet, now, onEnd } = dependencies;
  // An operation that was deleted during the render is not charged.
  operation.abort.signal.throwIfAborted();
  enterStatus(operation, 'completed', dependencies);
  operation.output = { path, durationMs };
  const { mode } = operation.request;
  const amountMicros = priceMicros(durationMs, mode, settings.current);
  wallet.debit({ lipsyncId: operation.id, mode, durationMs, amountMicros, at: new Date(now()).toISOString() });
  onEnd(operation);
}
