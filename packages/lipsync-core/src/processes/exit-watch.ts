import type { ChildProcess } from 'node:child_process';

/** How a process ended, for whoever waits for it just now. */
export interface ExitWatch {
  /**
   * Calls `listener` once with the reason when the process has ended, soon when it is gone already. The answer takes
   * the listener back: a process that lives through many tasks must not hold what belonged to earlier ones.
   */
  onExit(listener: (reason: string) => void): () => void;
}

export function watchExit(child: ChildProcess): ExitWatch {
  const waiting = new Set<(reason: string) => void>();
  let ended: string | undefined;
  const tell = (): void => {
    if (ended === undefined) return;
    for (const listener of waiting) listener(ended);
    waiting.clear();
  };
  const end = (reason: string): void => {
    ended ??= reason;
    tell();
  };
  child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  child.once('error', (error) => end(error.message));
  return {
    onExit(listener) {
      waiting.add(listener);
      queueMicrotask(tell);
      return () => void waiting.delete(listener);
    },
  };
}
