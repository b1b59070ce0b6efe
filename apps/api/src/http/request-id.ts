import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { unknownCaller, type Caller } from './access.ts';

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- Express types `response.locals` through this namespace only
  namespace Express {
    interface Locals {
      requestId: string;
      /** Read with `callerOf`. */
      caller: Caller;
    }
  }
}

const acceptable = /^[\w.-]{1,128}$/;

/** Uses the caller's `X-Request-Id` if it is valid, else creates one; every response carries it. */
export const assignRequestId: RequestHandler = (request, response, next) => {
  const given = request.get('X-Request-Id');
  response.locals.requestId = given !== undefined && acceptable.test(given) ? given : randomUUID();
  response.locals.caller = unknownCaller;
  response.set('X-Request-Id', response.locals.requestId);
  next();
};

const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Returns the W3C Trace Context header of a request, or null without a valid one. */
export function readTraceparent(request: Request): string | null {
  const traceparent = request.get('traceparent');
  return traceparent !== undefined && traceparentPattern.test(traceparent) ? traceparent : null;
}
