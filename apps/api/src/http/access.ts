import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { hostOf, hostOfUrl, isLoopbackHost } from './loopback.ts';
import { HttpError } from './problem.ts';

export interface ApiKey {
  readonly name: string;
  readonly secret: string;
}

/**
 * For an API without keys: only callers who address this machine as itself. The Host check stops a foreign page
 * whose name was pointed at 127.0.0.1; the Origin check stops a foreign page that posts here.
 */
export const requireLoopback: RequestHandler = (request, _response, next) => {
  const host = hostOf(request.headers.host ?? '');
  if (host === undefined || !isLoopbackHost(host)) {
    throw new HttpError(
      'forbidden',
      'Without API keys this service answers to loopback names only. Call it as 127.0.0.1 or localhost, or set LIPSYNC_API_KEYS.',
    );
  }
  const { origin } = request.headers;
  if (origin !== undefined && !isLoopbackHost(hostOfUrl(origin) ?? '')) {
    throw new HttpError(
      'forbidden',
      'Without API keys this service does not answer to pages of other sites. Set LIPSYNC_API_KEYS.',
    );
  }
  next();
};

/** Demands one of the keys as `Authorization: Bearer`, and notes whose it is. */
export function requireKey(keys: readonly ApiKey[]): RequestHandler {
  const nameOf = createKeyLookup(keys);
  return (request, response, next) => {
    const name = nameOf(bearerSecret(request) ?? '');
    if (name === undefined)
      throw unauthorized('Bearer realm="lipsync"', 'Send an API key as "Authorization: Bearer <secret>".');
    response.locals.caller = name;
    next();
  };
}

/** As `requireKey`, and also takes the secret as the password of HTTP Basic, so that a browser can ask its user for it. */
export function requireKeyOrPassword(keys: readonly ApiKey[]): RequestHandler {
  const nameOf = createKeyLookup(keys);
  return (request, response, next) => {
    const name = nameOf(bearerSecret(request) ?? basicPassword(request) ?? '');
    if (name === undefined)
      throw unauthorized(
        'Basic realm="lipsync", charset="UTF-8"',
        'Log in with an API key as the password; any user name will do.',
      );
    response.locals.caller = name;
    next();
  };
}

function unauthorized(challenge: string, message: string): HttpError {
  return new HttpError('unauthorized', message, { headers: { 'WWW-Authenticate': challenge } });
}

/** Compares digests, which have one length, and looks at every key: the time taken tells nothing about the secrets. */
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
