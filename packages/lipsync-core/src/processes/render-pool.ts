import { abortError } from '../errors/index.ts';
import { traced } from '../tracing/spans.ts';
import { RenderChild, type RenderContext } from './render-child.ts';
import { listTaskModules, type RenderTask } from './render-task.ts';

export type { RenderContext } from './render-child.ts';

export interface RenderPoolOptions {
  /** Largest number of idle processes to keep for further tasks. */
  readonly keepWarm: number;
  /** How long an idle process is kept. */
  readonly idleMs: number;
  /**
   * A process whose event loop sends no heartbeat for this long during a task counts as hung and is killed. A task may
   * take longer without progress reports.
   */
  readonly silenceLimitMs: number;
}

/**
 * Runs render tasks in separate processes, so that image processing never blocks the event loop that renews job locks.
 */
export interface RenderPool {
  /**
   * Resolves with the result of the task. Throws its `LipsyncError`, the abort error, or `media_failed` after a crash.
   */
  run<Input, Result>(task: RenderTask<Input, Result>, input: Input, context: RenderContext): Promise<Result>;
  /**
   * Starts a process for an expected task and imports the modules of all tasks there, unless one is idle or none is
   * kept.
   */
  warm(): void;
  /** Kills every process, including those with a task. */
  close(): Promise<void>;
}

/** The render pool of a program; the interface exists for tests without processes. */
export class RenderProcessPool implements RenderPool {
  readonly #options: RenderPoolOptions;
  readonly #idle: RenderChild[] = [];
  readonly #all = new Set<RenderChild>();

  constructor(options: RenderPoolOptions) {
    this.#options = options;
  }

  async run<Input, Result>(task: RenderTask<Input, Result>, input: Input, context: RenderContext): Promise<Result> {
    if (context.signal.aborted) throw abortError(context.signal);
    const { moduleUrl, exportName } = task;
    const child = this.#acquire();
    try {
      const request = { task: { moduleUrl, exportName }, input };
      const result = await traced(`render ${exportName}`, { kind: 'CLIENT' }, () =>
        child.run(request, context, this.#options.silenceLimitMs),
      );
      // `as`: the process returns the result of the body of the task.
      return result as Result;
    } finally {
      this.#release(child);
    }
  }

  warm(): void {
    if (this.#idle.length > 0 || this.#options.keepWarm === 0) return;
    const child = this.#acquire();
    child.preload(listTaskModules());
    this.#release(child);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((child) => child.end()));
  }

  #acquire(): RenderChild {
    const warm = this.#idle.pop();
    if (warm) return warm;
    const started = new RenderChild(() => {
      this.#all.delete(started);
      this.#removeIdle(started);
    });
    this.#all.add(started);
    return started;
  }

  #release(child: RenderChild): void {
    if (!this.#all.has(child) || child.isEnding) return;
    if (this.#idle.length >= this.#options.keepWarm) return child.kill();
    this.#idle.push(child);
    child.startIdleTimer(this.#options.idleMs, () => {
      // Removed first, because the killed process may take a moment to end.
      this.#removeIdle(child);
      child.kill();
    });
  }

  #removeIdle(child: RenderChild): void {
    const index = this.#idle.indexOf(child);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}
