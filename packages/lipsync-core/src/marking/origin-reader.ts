import type { OriginView } from '../contract/origin-view.ts';
import { toError, type CarriedFailure } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';
import { resolveEntry } from '../processes/entry.ts';
import { ManagedChild, type ChildExit } from '../processes/managed-child.ts';
import { originWithout } from './parse-origin.ts';

/** The one message of the process that reads a manifest. */
export type ReadOrigin = { readonly type: 'read'; readonly origin: OriginView } | CarriedFailure;

export interface OriginReaderOptions {
  /** Certificates of the authorities that are trusted, as PEM. */
  listAuthorities(): Promise<readonly string[]>;
  /** Memory of the process; 1 GiB by default. */
  readonly maxMemoryBytes?: number;
  /** Time for one file; five minutes by default. */
  readonly limitMs?: number;
}

/** Files that are read at the same time; others wait. */
const maxSimultaneous = 2;
/** Each waiting file takes room on the disk. */
const maxWaiting = 16;
const memoryCheckMs = 100;

/**
 * Reads the origin of files. Each is read in a process of its own with limits of memory and time, because the file is
 * untrusted and the library cannot be stopped from within.
 */
export class OriginReader {
  readonly #options: OriginReaderOptions;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(options: OriginReaderOptions) {
    this.#options = options;
  }

  /**
   * Returns the state `unreadable` for a file that exceeds the limits. Throws the abort error, and `resource_exhausted`
   * while too many files wait.
   */
  async read(path: string, signal: AbortSignal): Promise<OriginView> {
    await this.#enter(signal);
    try {
      if (signal.aborted) throw abortError(signal);
      return await this.#readApart(path, signal);
    } finally {
      // The next waiting file takes over the slot.
      const [next] = this.#waiting;
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    if (this.#running < maxSimultaneous) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.size >= maxWaiting)
      throw new LipsyncError('resource_exhausted', 'Too many files wait to be read. Try again later.');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = (): void => reject(abortError(signal));
    signal.addEventListener('abort', stop, { once: true });
    this.#waiting.add(resolve);
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', stop);
    }
  }

  async #readApart(path: string, signal: AbortSignal): Promise<OriginView> {
    const { listAuthorities, limitMs = 5 * 60_000, maxMemoryBytes = 1024 ** 3 } = this.#options;
    const authorities = (await listAuthorities()).join('\n');
    const entry = resolveEntry('./read-origin-process', import.meta.url);
    const child = ManagedChild.startModule({ entry, arguments: [path, authorities], signal });
    const { promise, resolve, reject } = Promise.withResolvers<OriginView>();
    const limit = setTimeout(
      () => resolve(originWithout('unreadable', `It could not be read within ${limitMs / 1000} s.`)),
      limitMs,
    );
    const memory = setInterval(() => {
      void child.residentBytes().then((bytes) => {
        if (bytes > maxMemoryBytes) resolve(originWithout('unreadable', 'Reading it takes too much memory.'));
      });
    }, memoryCheckMs);
    child.onMessage((message: ReadOrigin) =>
      message.type === 'read' ? resolve(message.origin) : reject(toError(message)),
    );
    child.onExit((exit) => (signal.aborted ? reject(abortError(signal)) : settleExit(exit, { resolve, reject })));
    try {
      return await promise;
    } finally {
      clearTimeout(limit);
      clearInterval(memory);
      await child.kill();
    }
  }
}

/** The library ends its process for some damaged files. */
function settleExit(
  exit: ChildExit,
  { resolve, reject }: { resolve(origin: OriginView): void; reject(error: LipsyncError): void },
): void {
  if (exit.type !== 'spawn_failed') return resolve(originWithout('unreadable', 'The process that read it crashed.'));
  reject(new LipsyncError('resource_exhausted', 'A process that reads files cannot be started. Try again later.'));
}
