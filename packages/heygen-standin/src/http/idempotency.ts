import { HeygenError, invalidParameter, type Answer } from './answer.ts';

const lifetimeMs = 24 * 3_600_000;
const keyPattern = /^[\w:.-]{1,255}$/;

interface Entry {
  /** Undefined while the first request is in progress. */
  readonly answer: Answer | undefined;
  readonly atMs: number;
}

/** Responses by `Idempotency-Key`. */
export class IdempotencyStore {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Runs `work` once per scope and key within 24 h, then repeats its response, whatever the request body. Stores only
   * successful responses. Throws 409 while the first request is in progress, and 400 for a malformed key.
   */
  async run(scope: string, key: string | undefined, work: () => Promise<Answer>): Promise<Answer> {
    if (key === undefined) return work();
    if (!keyPattern.test(key))
      throw invalidParameter('Idempotency-Key', 'Idempotency-Key must be 1-255 characters of A-Z a-z 0-9 _ : . -');
    const entryKey = `${scope} ${key}`;
    const known = this.#entries.get(entryKey);
    if (known !== undefined && known.answer === undefined) {
      throw new HeygenError(409, 'request_in_progress', 'A request with this Idempotency-Key is still in progress');
    }
    if (known?.answer !== undefined && this.#now() - known.atMs < lifetimeMs) return known.answer;
    this.#entries.set(entryKey, { answer: undefined, atMs: this.#now() });
    let answer: Answer | undefined;
    try {
      answer = await work();
      return answer;
    } finally {
      if (answer !== undefined && answer.status < 300) this.#entries.set(entryKey, { answer, atMs: this.#now() });
      else this.#entries.delete(entryKey);
    }
  }

  clear(): void {
    this.#entries.clear();
  }
}
