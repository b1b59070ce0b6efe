import type { Request } from 'express';
import { HttpError } from './problem.ts';

/** How long the body of a request may take to arrive. */
export interface BodyTimeLimits {
  /** Limit for a whole JSON body. */
  readonly jsonMs: number;
  /** A form is refused when fewer than `formBytes` arrive in each window of `formWindowMs`. */
  readonly formWindowMs: number;
  readonly formBytes: number;
}

/** A form that arrives at 1 KiB per second or faster may last as long as the connection. */
export const bodyTimeLimits: BodyTimeLimits = { jsonMs: 10_000, formWindowMs: 30_000, formBytes: 30 * 1_024 };

/**
 * Calls `onSlow` when a form arrives too slowly. Windows in which `isBusy` returned true do not count: then the service,
 * not the caller, is slow. The caller calls the returned function when the form is complete.
 */
export function watchFormRate(
  request: Request,
  { formWindowMs, formBytes }: BodyTimeLimits,
  { isBusy, onSlow }: { readonly isBusy: () => boolean; readonly onSlow: (error: HttpError) => void },
): () => void {
  let receivedBytes = 0;
  const timer = setInterval(() => {
    if (receivedBytes < formBytes && !isBusy()) onSlow(tooSlow(`${formBytes} bytes in ${formWindowMs / 1_000} s`));
    receivedBytes = 0;
  }, formWindowMs);
  const count = (chunk: Buffer): void => void (receivedBytes += chunk.length);
  request.on('data', count);
  return () => {
    clearInterval(timer);
    request.off('data', count);
  };
}

/** Rejects when the whole body takes longer than its limit, and otherwise settles like `reading`. */
export async function limitBodyTime<Result>(reading: Promise<Result>, { jsonMs }: BodyTimeLimits): Promise<Result> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(tooSlow(`the whole body in ${jsonMs / 1_000} s`)), jsonMs);
  try {
    return await Promise.race([reading, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function tooSlow(required: string): HttpError {
  return new HttpError('request_invalid', `The body arrives too slowly; required: ${required}. Send it again.`, {
    httpStatus: 408,
  });
}
