import type { RequestHandler } from 'express';
import { openSpan } from '@lipsync/core/host';
import { readTraceparent } from './request-id.ts';

/** Probes and scrapes come every few seconds and belong to no trace. */
const untracedPaths: ReadonlySet<string> = new Set(['/health', '/ready', '/metrics', '/scaling']);

/** Handles each request inside a span that continues the trace of the caller. */
export const traceRequests: RequestHandler = (request, response, next) => {
  const { method, path } = request;
  const attributes = { 'http.request.method': method, 'lipsync.request.id': response.locals.requestId };
  const span = untracedPaths.has(path)
    ? undefined
    : openSpan(method, { kind: 'SERVER', parent: readTraceparent(request), attributes });
  if (!span) return next();
  response.once('close', () => {
    // The pattern of the route, because its path may name a user.
    const route = routeOf(request.route, request.baseUrl);
    if (route !== undefined) span.rename(`${method} ${route}`);
    const { statusCode } = response;
    span.end({ 'http.route': route, 'http.response.status_code': statusCode }, statusCode >= 500 ? 'internal' : null);
  });
  span.run(next);
};

function routeOf(route: unknown, baseUrl: string): string | undefined {
  const isRoute = typeof route === 'object' && route !== null && 'path' in route;
  return isRoute && typeof route.path === 'string' ? `${baseUrl}${route.path}` : undefined;
}
