import { abortError } from '../../errors/index.ts';

/** Whether the video is a finished take, for which a job waits, or any other video. */
export type AssessmentKind = 'take' | 'video';

/**
 * Runs assessments one at a time, because each uses as much memory and time as a render process. Those of takes begin
 * before those of other videos, otherwise in order of arrival. A wait has no time limit of its own: each assessment has
 * one, and a take must not be delivered unassessed because others take long.
 */
export class AssessmentQueue {
  #isBusy = false;
  readonly #waiting: Readonly<Record<AssessmentKind, (() => void)[]>> = { take: [], video: [] };

  /** Throws the abort error of `signal` without running `work` if it aborts during the wait. */
  async run<Result>(kind: AssessmentKind, work: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    await this.#enter(this.#waiting[kind], signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    if (!this.#isBusy) {
      this.#isBusy = true;
      return;
    }
    const { promise: entered, resolve: enter, reject } = Promise.withResolvers<void>();
    waiting.push(enter);
    const stop = (): void => {
      const index = waiting.indexOf(enter);
      if (index < 0) return;
      waiting.splice(index, 1);
      reject(abortError(signal));
    };
    signal.addEventListener('abort', stop, { once: true });
    try {
      await entered;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #leave(): void {
    const next = this.#waiting.take.shift() ?? this.#waiting.video.shift();
    if (next) next();
    else this.#isBusy = false;
  }
}
