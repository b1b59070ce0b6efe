import { randomBytes } from 'node:crypto';
import type { Clock, IdSource } from './ports.ts';

/** Crockford's base 32 in lower case: no i, l, o or u, and its order is the order of the characters. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const timeLength = 10;
const randomLength = 16;
const pattern = new RegExp(`^job_[${alphabet}]{${timeLength + randomLength}}$`);

export interface JobIdSourceDependencies {
  readonly clock: Clock;
  /** Source of unpredictable bytes; 80 bits of each id come from it. */
  readonly randomBytes?: (size: number) => Uint8Array;
}

/** Ids such as `job_01kagb…`: 48 bits of time in milliseconds, then 80 random bits, so that nobody can guess one. */
export function createJobIdSource({ clock, randomBytes: random = randomBytes }: JobIdSourceDependencies): IdSource {
  return { jobId: () => `job_${encodeTime(clock.nowMs())}${encodeRandom(random(randomLength))}` };
}

/** Whether a text from outside has the shape of a job id. */
export function isJobId(text: string): boolean {
  return pattern.test(text);
}

function encodeTime(timeMs: number): string {
  let rest = timeMs;
  let text = '';
  for (let digit = 0; digit < timeLength; digit += 1) {
    text = `${alphabet.charAt(rest % 32)}${text}`;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** One character per byte: the low five bits of a uniform byte are uniform. */
function encodeRandom(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => alphabet.charAt(byte % 32)).join('');
}
