import type { Request, RequestHandler } from 'express';

const drainTimeLimitMs = 5_000;

/**
 * After each response, discards the rest of the request body for a short time, so that a client that is still sending
 * can read the response; then closes the connection. Closing at once (as `Connection: close` does) resets it before the
 * response is read.
 */
export const drainUnreadBody: RequestHandler = (request, response, next) => {
  response.once('finish', () => drain(request));
  next();
};

function drain(request: Request): void {
  if (request.complete) return;
  request.unpipe();
  request.resume();
  const timer = setTimeout(() => request.destroy(), drainTimeLimitMs);
  request.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
}
