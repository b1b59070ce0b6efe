import type { RequestHandler } from 'express';
import type { Logger } from '@lipsync/core/host';
import { callerOf } from './access.ts';

/**
 * Logs one line per finished request. Headers and query are left out, because they may hold a secret, and a user id,
 * because the log would keep it after its deletion.
 */
export function logRequests(logger: Logger): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    response.once('close', () => {
      const fields = {
        requestId: response.locals.requestId,
        caller: callerOf(response).owner,
        method: request.method,
        // `path` loses the prefix of a mounted router.
        path: request.originalUrl.split('?', 1)[0]?.replace(/^\/+users\/.*/i, '/users/:user_id'),
        status: response.statusCode,
        durationMs: Math.round(performance.now() - startedAt),
        cutOff: !response.writableFinished,
      };
      logger.info(fields, 'request');
    });
    next();
  };
}
