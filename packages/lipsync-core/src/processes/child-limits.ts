import type { ManagedChild } from './managed-child.ts';

export interface ChildLimits {
  readonly limitMs: number;
  readonly maxMemoryBytes: number;
  /** Called once; the process keeps running. */
  onExceeded(what: 'memory' | 'time'): void;
}

const memoryCheckMs = 100;

/** Watches the time and memory of a child process. Returns a function that ends the watch. */
export function watchChild(child: ManagedChild, { limitMs, maxMemoryBytes, onExceeded }: ChildLimits): () => void {
  let isEnded = false;
  const report = (what: 'memory' | 'time'): void => {
    if (isEnded) return;
    end();
    onExceeded(what);
  };
  const limit = setTimeout(() => report('time'), limitMs);
  const memory = setInterval(() => {
    void child.residentBytes().then((bytes) => {
      if (bytes > maxMemoryBytes) report('memory');
    });
  }, memoryCheckMs);
  function end(): void {
    isEnded = true;
    clearTimeout(limit);
    clearInterval(memory);
  }
  return end;
}
