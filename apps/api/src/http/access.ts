import type { RequestHandler, Response } from 'express';
import { anyOrigin } from './cors.ts';
import { hostOf, hostOfUrl, isLoopbackHost } from './loopback.ts';
import { HttpError } from './problem.ts';

export interface ApiKey {
  readonly name: string;
  readonly secret: string;
  /** May see and change the jobs of every key, and open the queue dashboard. */
  readonly isAdmin: boolean;
}

/** Who sent a request. */
export interface Caller {
  /** Name of the API key; null without one. */
  readonly owner: string | null;
  /** True for an admin key, and for every caller of an API without keys. */
  readonly isAdmin: boolean;
}

/** A caller that has not been identified. It may see no job. */
export const unknownCaller: Caller = Object.freeze({ owner: null, isAdmin: false });

/** Returns who sent the request that `response` answers. */
export function callerOf({ locals }: Pick<Response, 'locals'>): Caller {
  return locals.caller;
}

/** Returns whether a caller may see and change what belongs to `owner`. */
export function mayAccess({ owner: callerOwner, isAdmin }: Caller, owner: string | null): boolean {
  return isAdmin || (callerOwner !== null && callerOwner === owner);
}

/** Returns the condition on lists and sums of what a caller may see: all that its key owns; no condition for an admin. */
export function scopeOf({ owner, isAdmin }: Caller): { readonly owner?: string } {
  // No key has an empty name.
  return isAdmin ? {} : { owner: owner ?? '' };
}

/**
 * Access control of an API without keys: loopback requests only. The Host check stops DNS rebinding; the Origin check
 * stops requests from sites other than the listed ones.
 */
export function requireLoopback(allowedOrigins: readonly string[]): RequestHandler {
  return (request, response, next) => {
    const host = hostOf(request.headers.host ?? '');
    if (host === undefined || !isLoopbackHost(host)) {
      throw new HttpError(
        'forbidden',
        'Without API keys this service accepts loopback names only. Use 127.0.0.1 or localhost, or set LIPSYNC_API_KEYS.',
      );
    }
    const { origin } = request.headers;
    if (origin !== undefined && !allowedOrigins.includes(origin) && !isLoopbackHost(hostOfUrl(origin) ?? '')) {
      throw new HttpError(
        'forbidden',
        'Without API keys this service refuses requests from sites that LIPSYNC_CORS_ORIGINS does not list.',
      );
    }
    response.locals.caller = { owner: null, isAdmin: true };
    next();
  };
}

/**
 * Refuses requests from pages other than those of `origins` and of the public address of the service. The `Host` of a
 * request does not count, because DNS rebinding sets it.
 */
export function requireKnownOrigin(origins: readonly string[], publicBaseUrl: string): RequestHandler {
  return (request, _response, next) => {
    const { origin } = request.headers;
    const known = [...origins, URL.parse(publicBaseUrl)?.origin];
    if (origin !== undefined && !known.includes(origin) && !known.includes(anyOrigin))
      throw new HttpError('forbidden', 'This origin may not call the service. See LIPSYNC_CORS_ORIGINS.');
    next();
  };
}

/** Refuses callers without an admin key. Belongs behind a handler that identifies the caller. */
export const requireAdmin: RequestHandler = (_request, response, next) => {
  if (!callerOf(response).isAdmin)
    throw new HttpError(
      'forbidden',
      'This page shows the jobs of every key, so it needs an admin key: name:secret:admin in LIPSYNC_API_KEYS.',
    );
  next();
};
