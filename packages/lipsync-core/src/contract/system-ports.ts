import { randomBytes } from 'node:crypto';
import type { Clock, IdSource, Logger } from './ports.ts';

/** The machine's own clock. */
export const systemClock: Clock = Object.freeze({ nowMs: () => Date.now() });

/** Discards everything. */
export const silentLogger: Logger = Object.freeze({ debug() {}, info() {}, warn() {}, error() {} });

const timeDigits = 9;
const randomByteCount = 10;

/** Ids that sort by time: `job_`, the time in base 36, then 80 random bits. */
export function createIdSource(clock: Clock): IdSource {
  return {
    jobId: () =>
      `job_${clock.nowMs().toString(36).padStart(timeDigits, '0')}${randomBytes(randomByteCount).toString('hex')}`,
  };
}
