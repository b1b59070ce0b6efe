import type { Clock } from '@lipsync/core/host';
import type { Redis } from 'ioredis';

/**
 * The clock of Redis, so that all processes of a service compare stored times with one clock, however wrong the clocks
 * of their machines are. Until the first `synchronize` it is the clock of this machine.
 */
export class RedisClock implements Clock {
  readonly #local: Clock;
  #offsetMs = 0;
  #errorMs = Infinity;

  constructor(local: Clock) {
    this.#local = local;
  }

  nowMs(): number {
    return this.#local.nowMs() + Math.round(this.#offsetMs);
  }

  /** The time at which the clock of this machine shows what this clock shows at `atMs`, for libraries that use it. */
  toLocalMs(atMs: number): number {
    return atMs - Math.round(this.#offsetMs);
  }

  /** Reads the time of Redis. A slow answer is less exact and changes nothing while the clock agrees with it. */
  async synchronize(connection: Pick<Redis, 'time'>): Promise<void> {
    const beforeMs = this.#local.nowMs();
    const [seconds = 0, microseconds = 0] = (await connection.time()).map(Number);
    const afterMs = this.#local.nowMs();
    const errorMs = Math.max(1, (afterMs - beforeMs) / 2);
    const offsetMs = seconds * 1_000 + microseconds / 1_000 - (beforeMs + afterMs) / 2;
    const isCloser = errorMs <= this.#errorMs;
    if (!isCloser && Math.abs(offsetMs - this.#offsetMs) <= errorMs) return;
    this.#offsetMs = offsetMs;
    this.#errorMs = errorMs;
  }
}
