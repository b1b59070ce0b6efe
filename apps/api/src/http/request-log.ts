import type { RequestHandler } from 'express';
import { activeTraceparent, traceIdOf, type Logger } from '@lipsync/core/host';
import { callerOf } from './access.ts';
import { readTraceparent } from './request-id.ts';

/** Probes call them every few seconds. */
const probePaths = ['/health', '/ready'];

/**
 * Logs one line per finished request, at level `debug` for a probe that succeeded. Headers and query are left out because
 * they may hold a secret, and user ids because the log would keep them after their deletion.
 */
export function logRequests(logger: Logger): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    const traceId = traceIdOf(activeTraceparent() ?? readTraceparent(request));
    response.once('close', () => {
      const fields = {
        requestId: response.locals.requestId,
        traceId,
        caller: callerOf(response).owner,
        method: request.method,
        // `path` loses the prefix of a mounted router.
        path: request.originalUrl.split('?', 1)[0]?.replace(/^\/+users\/.*/i, '/users/:user_id'),
        status: response.statusCode,
        durationMs: Math.round(performance.now() - startedAt),
        cutOff: !response.writableFinished,
      };
      const isProbe = response.statusCode === 200 && probePaths.includes(request.path);
      logger[isProbe ? 'debug' : 'info'](fields, 'request');
    });
    next();
  };
}
