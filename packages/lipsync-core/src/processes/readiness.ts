import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Logger } from '../contract/ports.ts';
import { toLipsyncError, type ErrorCode } from '../errors/index.ts';
import { OutageLog } from './outage-log.ts';

/** A part that the service needs; `check` throws when it does not work. */
export interface ReadinessCheck {
  readonly name: string;
  readonly check: () => Promise<void>;
  /** Whether `check` logs its failures itself. */
  readonly logsItself?: boolean;
}

export interface PartState {
  readonly name: string;
  /** What happened and what to do; null for a part that works. */
  readonly reason: string | null;
}

/** With the code of the failure, whose change is logged. */
interface CheckedPart extends PartState {
  readonly code: ErrorCode | 'timeout' | null;
}

export interface ReadinessOptions {
  readonly checks: readonly ReadinessCheck[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkLimitMs?: number;
  readonly cacheMs?: number;
}

/** Together below 5 s, the age that an answer may have. */
const defaults = { checkLimitMs: 2_500, cacheMs: 2_000 };

const stopping: PartState = { name: 'process', reason: 'It is stopping.' };

/**
 * Whether the service works, from real writes. Concurrent and quickly repeated calls share one check of each part, so
 * that a caller cannot load Redis or the disks, and a check that hangs is not started again.
 */
export class Readiness {
  readonly #options: Required<ReadinessOptions>;
  readonly #log: OutageLog;
  readonly #running = new Map<string, Promise<CheckedPart>>();
  #current: Promise<readonly PartState[]> | undefined;
  #isStopping = false;

  constructor(options: ReadinessOptions) {
    this.#options = { ...defaults, ...options };
    this.#log = new OutageLog(options);
  }

  /** From now on the service is not ready, whatever its parts do: it takes no new work. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Resolves within `checkLimitMs`. */
  async read(): Promise<readonly PartState[]> {
    if (this.#isStopping) return [stopping];
    this.#current ??= this.#readAll();
    return this.#current;
  }

  async #readAll(): Promise<readonly PartState[]> {
    const { checks, cacheMs } = this.#options;
    const states = await Promise.all(checks.map((check) => this.#read(check)));
    setTimeout(() => (this.#current = undefined), cacheMs).unref();
    return states;
  }

  async #read(check: ReadinessCheck): Promise<PartState> {
    const { name } = check;
    const running = this.#running.get(name) ?? this.#start(check);
    const finished = new AbortController();
    const limit = delay(this.#options.checkLimitMs, undefined, { signal: finished.signal }).catch(() => undefined);
    const state = (await Promise.race([running, limit])) ?? unresponsive(name);
    finished.abort();
    const { reason, code } = state;
    if (reason === null || code === null) this.#log.worked(name);
    else if (check.logsItself !== true) this.#log.failed(name, { reason: code, message: `${name}: ${reason}` });
    return { name, reason };
  }

  #start({ name, check }: ReadinessCheck): Promise<CheckedPart> {
    const running = check()
      .then(
        () => ({ name, reason: null, code: null }),
        (thrown: unknown) => {
          const { code, message } = toLipsyncError(thrown);
          return { name, reason: message, code };
        },
      )
      .finally(() => this.#running.delete(name));
    this.#running.set(name, running);
    return running;
  }
}

function unresponsive(name: string): CheckedPart {
  return { name, reason: 'It does not respond in time.', code: 'timeout' };
}
