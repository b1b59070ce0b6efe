import type { Request } from 'express';

const drainTimeLimitMs = 5_000;

/**
 * Discards the rest of a request body for a short time, so that a client that is still sending can read the response;
 * then closes the connection. Closing at once (as `Connection: close` does) resets it before the response is read.
 */
export function drainRefusedBody(request: Request): void {
  if (request.complete) return;
  request.unpipe();
  request.resume();
  const timer = setTimeout(() => request.destroy(), drainTimeLimitMs);
  request.once('close', () => clearTimeout(timer));
}
