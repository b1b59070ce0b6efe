import type { Answer } from './answer.ts';
import { HeygenError, invalidParameter } from './heygen-error.ts';

const lifetimeMs = 24 * 3_600_000;
const keyShape = /^[\w:.-]{1,255}$/;

export interface IdempotencyStore {
  /**
   * Does `work` once per `scope` and key within 24 h and repeats its answer afterwards, whatever the body. Answers that
   * are no success are not kept. Throws 409 while the first is in flight, 400 for a malformed key.
   */
  run(scope: string, key: string | undefined, work: () => Promise<Answer>): Promise<Answer>;
  clear(): void;
}

export function createIdempotencyStore(now: () => number): IdempotencyStore {
  /** Undefined stands for an answer that is still being made. */
  const answers = new Map<string, { readonly answer: Answer | undefined; readonly atMs: number }>();
  return {
    async run(scope, key, work) {
      if (key === undefined) return work();
      if (!keyShape.test(key))
        throw invalidParameter('Idempotency-Key', 'Idempotency-Key must be 1-255 characters of A-Z a-z 0-9 _ : . -');
      const entry = `${scope} ${key}`;
      const known = answers.get(entry);
      if (known !== undefined && known.answer === undefined) {
        throw new HeygenError(409, 'request_in_progress', 'A request with this Idempotency-Key is still in progress');
      }
      if (known?.answer !== undefined && now() - known.atMs < lifetimeMs) return known.answer;
      answers.set(entry, { answer: undefined, atMs: now() });
      let answer: Answer | undefined;
      try {
        answer = await work();
        return answer;
      } finally {
        if (answer !== undefined && answer.status < 300) answers.set(entry, { answer, atMs: now() });
        else answers.delete(entry);
      }
    },
    clear: () => answers.clear(),
  };
}
