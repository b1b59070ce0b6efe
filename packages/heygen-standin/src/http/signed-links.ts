import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Links that expire, signed with a random secret of this process. */
export class SignedLinks {
  readonly #secret = randomBytes(32);
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Creates a link to `path`; every call returns a different one. */
  sign(origin: string, path: string, lifetimeMs: number): string {
    const nonce = randomBytes(8).toString('hex');
    const expires = String(this.#now() + lifetimeMs);
    const signature = this.#signature(path, nonce, expires).toString('hex');
    return `${origin}${path}?${new URLSearchParams({ nonce, expires, signature }).toString()}`;
  }

  /** Whether the query of `url` (path and query) carries a valid signature of `path` that has not expired. */
  verify(path: string, url: string): boolean {
    const query = new URLSearchParams(url.split('?')[1]);
    const expires = query.get('expires') ?? '';
    const expected = this.#signature(path, query.get('nonce') ?? '', expires);
    const given = Buffer.from(query.get('signature') ?? '', 'hex');
    return given.length === expected.length && timingSafeEqual(given, expected) && this.#now() < Number(expires);
  }

  #signature(path: string, nonce: string, expires: string): Buffer {
    return createHmac('sha256', this.#secret).update(`${path}\n${nonce}\n${expires}`).digest();
  }
}
