import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { hostOf, hostOfUrl, isLoopbackHost } from './loopback.ts';
import { HttpError } from './problem.ts';

export interface ApiKey {
  readonly name: string;
  readonly secret: string;
}

/**
 * Access control of an API without keys: loopback requests only. The Host check stops DNS rebinding; the Origin check
 * stops cross-site requests.
 */
export const requireLoopback: RequestHandler = (request, _response, next) => {
  const host = hostOf(request.headers.host ?? '');
  if (host === undefined || !isLoopbackHost(host)) {
    throw new HttpError(
      'forbidden',
      'Without API keys this service accepts loopback names only. Use 127.0.0.1 or localhost, or set LIPSYNC_API_KEYS.',
    );
  }
  const { origin } = request.headers;
  if (origin !== undefined && !isLoopbackHost(hostOfUrl(origin) ?? '')) {
    throw new HttpError(
      'forbidden',
      'Without API keys this service refuses requests from other sites. Set LIPSYNC_API_KEYS.',
    );
  }
  next();
};

/** Requires a key as `Authorization: Bearer` and stores its name in `response.locals.caller`. */
export function requireKey(keys: readonly ApiKey[]): RequestHandler {
  const nameOf = createKeyLookup(keys);
  return (request, response, next) => {
    const secret = bearerSecret(request);
    const name = nameOf(secret ?? '');
    if (name === undefined) {
      const message =
        secret === undefined ? 'Send an API key as "Authorization: Bearer <secret>".' : 'The API key is not valid.';
      throw unauthorized('Bearer realm="lipsync"', message);
    }
    response.locals.caller = name;
    next();
  };
}

/** Like `requireKey`, and accepts the secret as the password of HTTP Basic, for browsers. */
export function requireKeyOrPassword(keys: readonly ApiKey[]): RequestHandler {
  const nameOf = createKeyLookup(keys);
  return (request, response, next) => {
    const name = nameOf(bearerSecret(request) ?? basicPassword(request) ?? '');
    if (name === undefined)
      throw unauthorized(
        'Basic realm="lipsync", charset="UTF-8"',
        'Log in with an API key as the password and any user name.',
      );
    response.locals.caller = name;
    next();
  };
}

/** Returns whether a request may see what only callers with a key may see; every request may if there are no keys. */
export function createKeyCheck(keys: readonly ApiKey[]): (request: Request) => boolean {
  const nameOf = createKeyLookup(keys);
  return (request) => keys.length === 0 || nameOf(bearerSecret(request) ?? '') !== undefined;
}

function unauthorized(challenge: string, message: string): HttpError {
  return new HttpError('unauthorized', message, { headers: { 'WWW-Authenticate': challenge } });
}

/** Compares digests of equal length with every key, so that timing does not reveal a secret. */
function createKeyLookup(keys: readonly ApiKey[]): (secret: string) => string | undefined {
  const entries = keys.map(({ name, secret }) => ({ name, digest: digestOf(secret) }));
  return (secret) => {
    const presented = digestOf(secret);
    return entries.filter(({ digest }) => timingSafeEqual(digest, presented))[0]?.name;
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
