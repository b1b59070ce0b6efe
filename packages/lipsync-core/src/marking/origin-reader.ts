import type { OriginView } from '../contract/origin-view.ts';
import { toError, type CarriedFailure } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';
import { watchChild } from '../processes/child-limits.ts';
import { resolveEntry } from '../processes/entry.ts';
import { ManagedChild, type ChildExit } from '../processes/managed-child.ts';
import { WorkSlots } from '../processes/work-slots.ts';
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
const maxRunning = 2;
/** Each waiting file takes room on the disk. */
const maxWaiting = 16;
const refusal = 'Too many files wait to be read. Try again later.';

/**
 * Reads the origin of files. Each is read in a process of its own with limits of memory and time, because the file is
 * untrusted and the library cannot be stopped from within.
 */
export class OriginReader {
  readonly #options: OriginReaderOptions;
  readonly #slots = new WorkSlots({ maxRunning, maxWaiting, refusal });

  constructor(options: OriginReaderOptions) {
    this.#options = options;
  }

  /**
   * Returns the state `unreadable` for a file that exceeds the limits. Throws the abort error, and `resource_exhausted`
   * while too many files wait.
   */
  read(path: string, signal: AbortSignal): Promise<OriginView> {
    return this.#slots.run(() => this.#readApart(path, signal), signal);
  }

  async #readApart(path: string, signal: AbortSignal): Promise<OriginView> {
    const { listAuthorities, limitMs = 5 * 60_000, maxMemoryBytes = 1024 ** 3 } = this.#options;
    const authorities = (await listAuthorities()).join('\n');
    const entry = resolveEntry('./read-origin-process', import.meta.url);
    const child = ManagedChild.startModule({ entry, arguments: [path, authorities], signal });
    const { promise, resolve, reject } = Promise.withResolvers<OriginView>();
    const stopWatching = watchChild(child, {
      limitMs,
      maxMemoryBytes,
      onExceeded: (what) =>
        resolve(
          originWithout(
            'unreadable',
            what === 'time'
              ? `The file could not be read within ${limitMs / 1000} s.`
              : 'Reading the file exceeds the memory limit.',
          ),
        ),
    });
    child.onMessage((message: ReadOrigin) =>
      message.type === 'read' ? resolve(message.origin) : reject(toError(message)),
    );
    child.onExit((exit) => (signal.aborted ? reject(abortError(signal)) : settleExit(exit, { resolve, reject })));
    try {
      return await promise;
    } finally {
      stopWatching();
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
