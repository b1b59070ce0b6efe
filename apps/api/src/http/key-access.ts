import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import type { ApiKey, Caller } from './access.ts';
import { runHandler } from './mount-routes.ts';
import { HttpError } from './problem.ts';
import { addressOf, type LoginLimit } from './rate-limit.ts';

/** Maximum number of pairs of key and address that a process remembers. */
const maxKnownPairs = 10_000;

/**
 * Access control by API keys. An address that has sent too many unknown keys is refused for the rest of the minute, except
 * with keys that it has used before: otherwise anyone behind a proxy could lock out its other clients.
 */
export class KeyAccess {
  readonly #callerWith: (secret: string) => Caller | undefined;
  readonly #loginLimit: LoginLimit;
  /** Keys and addresses of accepted requests, oldest first. */
  readonly #known = new Set<string>();

  constructor({ keys, loginLimit }: { readonly keys: readonly ApiKey[]; readonly loginLimit: LoginLimit }) {
    this.#callerWith = createKeyLookup(keys);
    this.#loginLimit = loginLimit;
  }

  /** Requires a key as `Authorization: Bearer`; afterwards `callerOf` returns its owner. */
  readonly requireKey: RequestHandler = async (request, response, next) => {
    const secret = bearerSecret(request);
    const message =
      secret === undefined ? 'Send an API key as "Authorization: Bearer <secret>".' : 'The API key is not valid.';
    await this.#require({ secret, refusal: unauthorized('Bearer realm="lipsync"', message) }, request, response);
    next();
  };

  /** Requires a key as `Authorization: Bearer` or, for browsers, as the password of HTTP Basic. */
  readonly requireKeyOrPassword: RequestHandler = async (request, response, next) => {
    const secret = bearerSecret(request) ?? basicPassword(request);
    const refusal = unauthorized(
      'Basic realm="lipsync", charset="UTF-8"',
      'Log in with the secret of an API key as the password and any user name.',
    );
    await this.#require({ secret, refusal }, request, response);
    next();
  };

  async #require(
    { secret, refusal }: { readonly secret: string | undefined; readonly refusal: HttpError },
    request: Request,
    response: Response,
  ): Promise<void> {
    const caller = secret === undefined ? undefined : await this.#identify(secret, request, response);
    if (!caller) throw refusal;
    response.locals.caller = caller;
  }

  /** Returns whether a request may see what only callers with a key may see; refuses none. */
  async hasKey(request: Request, response: Response): Promise<boolean> {
    const secret = bearerSecret(request);
    if (secret === undefined) return false;
    try {
      return (await this.#identify(secret, request, response)) !== undefined;
    } catch {
      response.removeHeader('Retry-After');
      return false;
    }
  }

  /** Returns the caller with this secret. Throws `too_many_requests` beyond the limit of failed logins. */
  async #identify(secret: string, request: Request, response: Response): Promise<Caller | undefined> {
    const caller = this.#callerWith(secret);
    const pair = caller && `${caller.owner} ${addressOf(request)}`;
    if (pair !== undefined && this.#known.has(pair)) return caller;
    // A valid key of an address beyond its limit is refused as well, so that further guesses reveal nothing.
    if (!caller || (await this.#loginLimit.isExceeded(request)))
      await runHandler(this.#loginLimit.count, request, response);
    if (pair !== undefined) this.#remember(pair);
    return caller;
  }

  #remember(pair: string): void {
    this.#known.add(pair);
    const [oldest = ''] = this.#known;
    if (this.#known.size > maxKnownPairs) this.#known.delete(oldest);
  }
}

function unauthorized(challenge: string, message: string): HttpError {
  return new HttpError('unauthorized', message, { headers: { 'WWW-Authenticate': challenge } });
}

/** Compares digests of equal length with every key, so that timing does not reveal a secret. */
function createKeyLookup(keys: readonly ApiKey[]): (secret: string) => Caller | undefined {
  const entries = keys.map(({ name, secret, isAdmin }) => ({
    caller: { owner: name, isAdmin },
    digest: digestOf(secret),
  }));
  return (secret) => {
    const presented = digestOf(secret);
    return entries.filter(({ digest }) => timingSafeEqual(digest, presented))[0]?.caller;
  };
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function bearerSecret(request: Request): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
}

function basicPassword(request: Request): string | undefined {
  const encoded = /^Basic +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? undefined : pair.slice(colon + 1);
}
