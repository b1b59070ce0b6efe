import type { Request } from 'express';

const drainTimeLimitMs = 5_000;

/**
 * Lets a caller who is still sending read the refusal: what arrives is thrown away for a moment, then the
 * connection is cut. Cutting at once (as `Connection: close` would) resets the connection before the answer is read.
 */
export function drainRefusedBody(request: Request): void {
  if (request.complete) return;
  request.unpipe();
  request.resume();
  const timer = setTimeout(() => request.destroy(), drainTimeLimitMs);
  request.once('close', () => clearTimeout(timer));
}
