import cors from 'cors';
import type { RequestHandler } from 'express';

/** Stands for every origin in `LIPSYNC_CORS_ORIGINS`. */
export const anyOrigin = '*';

const preflightLifetimeS = 7_200;

const requestHeaders = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-None-Match',
  'If-Range',
  'Last-Event-ID',
  'Range',
  'X-Request-Id',
  'traceparent',
];

const responseHeaders = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Range',
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-Request-Id',
];

/**
 * Lets pages of the listed origins call the API from a browser, with the key in `Authorization` but without cookies.
 * Mount it before the checks of access: preflight requests carry no key.
 */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const handle = cors({
    origin: origins.includes(anyOrigin) ? anyOrigin : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    allowedHeaders: requestHeaders,
    exposedHeaders: responseHeaders,
    maxAge: preflightLifetimeS,
  });
  return (request, response, next) => {
    // The package answers every OPTIONS request, also those that are no preflight.
    const isOwnRoute = request.method === 'OPTIONS' && request.headers['access-control-request-method'] === undefined;
    if (origins.length === 0 || isOwnRoute) next();
    else handle(request, response, next);
  };
}
