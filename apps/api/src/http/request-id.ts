import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler } from 'express';

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- Express types what a request carries through this namespace only
  namespace Express {
    interface Locals {
      requestId: string;
      /** Name of the API key that was presented; null where the API is open. */
      caller: string | null;
    }
  }
}

const acceptable = /^[\w.-]{1,128}$/;

/** Takes over the caller's `X-Request-Id` where it is harmless, else makes one; every answer repeats it. */
export const assignRequestId: RequestHandler = (request, response, next) => {
  const given = request.get('X-Request-Id');
  response.locals.requestId = given !== undefined && acceptable.test(given) ? given : randomUUID();
  response.locals.caller = null;
  response.set('X-Request-Id', response.locals.requestId);
  next();
};

const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Returns the W3C Trace Context header of a request, or null without a valid one. */
export function readTraceparent(request: Request): string | null {
  const traceparent = request.get('traceparent');
  return traceparent !== undefined && traceparentPattern.test(traceparent) ? traceparent : null;
}
