import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface SignedLinks {
  /** A link to `path` on `origin` that is new with each call and dies after `lifetimeMs`. */
  sign(origin: string, path: string, lifetimeMs: number): string;
  /** Whether the query is one that was signed for `path` and is still alive. */
  check(path: string, query: URLSearchParams): boolean;
}

export function createSignedLinks(now: () => number): SignedLinks {
  const secret = randomBytes(32);
  const signatureOf = (path: string, nonce: string, expires: string): Buffer =>
    createHmac('sha256', secret).update(`${path}\n${nonce}\n${expires}`).digest();
  return {
    sign(origin, path, lifetimeMs) {
      const nonce = randomBytes(8).toString('hex');
      const expires = String(now() + lifetimeMs);
      const query = new URLSearchParams({
        nonce,
        expires,
        signature: signatureOf(path, nonce, expires).toString('hex'),
      });
      return `${origin}${path}?${query.toString()}`;
    },
    check(path, query) {
      const expires = query.get('expires') ?? '';
      const expected = signatureOf(path, query.get('nonce') ?? '', expires);
      const given = Buffer.from(query.get('signature') ?? '', 'hex');
      return given.length === expected.length && timingSafeEqual(given, expected) && now() < Number(expires);
    },
  };
}
