import type { Clock, Logger } from '../contract/ports.ts';

export interface OutageLogOptions {
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly clock: Clock;
  readonly reminderIntervalMs?: number;
  /** Time that a part must work before that is logged, so that a part on the edge does not fill the log. */
  readonly settleMs?: number;
}

/** What is logged about a part that does not work. */
export interface Failure {
  /** A change of it is logged. */
  readonly reason: string;
  /** What happened and what to do. */
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

interface Outage {
  readonly sinceMs: number;
  readonly reason: string;
  readonly loggedAtMs: number;
  /** When it started to work again; null while it fails. */
  readonly workingSinceMs: number | null;
}

const defaults = { reminderIntervalMs: 60_000, settleMs: 5_000 };

/**
 * Logs the state of the parts that a process depends on: one line when a part stops working, when the reason changes and
 * when it works again, and one reminder per minute in between. May be called with every failure.
 */
export class OutageLog {
  readonly #options: Required<OutageLogOptions>;
  readonly #outages = new Map<string, Outage>();

  constructor(options: OutageLogOptions) {
    this.#options = { ...defaults, ...options };
  }

  failed(part: string, { reason, message, fields = {} }: Failure): void {
    const { clock, logger, reminderIntervalMs } = this.#options;
    const nowMs = clock.nowMs();
    const outage = this.#outages.get(part);
    const isDue = outage?.reason !== reason || nowMs - outage.loggedAtMs >= reminderIntervalMs;
    const sinceMs = outage?.sinceMs ?? nowMs;
    const loggedAtMs = isDue ? nowMs : outage.loggedAtMs;
    this.#outages.set(part, { sinceMs, reason, loggedAtMs, workingSinceMs: null });
    if (isDue) logger.warn({ part, reason, outageMs: nowMs - sinceMs, ...fields }, message);
  }

  /** Call it at intervals while the part works. Returns whether the part is known to work. */
  worked(part: string): boolean {
    const { clock, logger, settleMs } = this.#options;
    const nowMs = clock.nowMs();
    const outage = this.#outages.get(part);
    if (!outage) return true;
    const workingSinceMs = outage.workingSinceMs ?? nowMs;
    if (nowMs - workingSinceMs < settleMs) {
      this.#outages.set(part, { ...outage, workingSinceMs });
      return false;
    }
    this.#outages.delete(part);
    logger.info({ part, outageMs: workingSinceMs - outage.sinceMs }, `${part} works again`);
    return true;
  }
}
