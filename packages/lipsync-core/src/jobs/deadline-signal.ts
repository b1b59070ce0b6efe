import { TimeoutError } from '../errors/index.ts';

export interface DeadlineSignal {
  readonly signal: AbortSignal;
  /** Lets go of the timer; whoever asked for the signal calls it in the end. */
  end(): void;
}

/** What a job ends with when it is not done at its deadline. */
export function deadlineExceeded(): TimeoutError {
  return new TimeoutError('deadline_exceeded', 'The job did not end before its deadline.');
}

/** A signal that fires with `deadlineExceeded` in `remainingMs`; null: never. */
export function deadlineSignal(remainingMs: number | null): DeadlineSignal {
  const controller = new AbortController();
  const timer =
    remainingMs === null ? undefined : setTimeout(() => controller.abort(deadlineExceeded()), Math.max(0, remainingMs));
  return { signal: controller.signal, end: () => clearTimeout(timer) };
}
