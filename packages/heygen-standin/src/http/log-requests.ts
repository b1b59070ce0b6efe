import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import { describeRequest, type LoggedRequest, type RequestLog } from './request-log.ts';

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- Express types what a request carries through this namespace only
  namespace Express {
    interface Locals {
      /** The entry of this request in the log. */
      logged: LoggedRequest;
    }
  }
}

/** Gives every answer its `X-Request-Id` and every request its entry in the log. */
export function logRequests(log: RequestLog, now: () => number): RequestHandler {
  return (request, response, next) => {
    const requestId = randomUUID();
    response.set('X-Request-Id', requestId);
    const entry = describeRequest(request, requestId, now());
    response.locals.logged = entry;
    log.add(entry);
    response.once('finish', () => {
      entry.status = response.statusCode;
    });
    next();
  };
}
