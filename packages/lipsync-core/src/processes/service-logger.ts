import { destination, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type { Logger } from '../contract/ports.ts';
import { withoutUrls } from '../net/url-policy.ts';
import { traceFields } from '../tracing/spans.ts';

/**
 * Returns the log of a service: JSON lines with ISO times on stdout, each with the name of the app and the active span.
 */
export function createServiceLogger(app: string): Logger {
  const options = {
    base: { app },
    timestamp: stdTimeFunctions.isoTime,
    mixin: traceFields,
    serializers: { error: serializeError },
  };
  // Synchronous, because a line must not be lost when the process ends.
  return pino(options, destination({ fd: 1, sync: true }));
}

/**
 * Messages and stacks of errors may quote a URL of a request, or of a vendor with a signature. Other properties are
 * left out, because those of a failed request hold its headers.
 */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { type, ...code, message: withoutUrls(message), stack: withoutUrls(stack) };
}
