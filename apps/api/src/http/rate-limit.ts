import { createHash } from 'node:crypto';
import type { RequestHandler } from 'express';
import { rateLimit } from 'express-rate-limit';
import { RedisStore, type RedisReply } from 'rate-limit-redis';
import type { Logger } from '@lipsync/core/host';
import { rateLimitPrefix } from '@lipsync/queue';
import { callerOf } from './access.ts';
import { HttpError } from './problem.ts';

const windowMs = 60_000;

/** How many requests one API key may send in a minute, to all API processes together; 0 for no limit. */
export interface RequestRates {
  /** Requests to routes that need a key. */
  readonly all: number;
  /** Those of them that create jobs. */
  readonly creating: number;
}

/** Counts requests in Redis. Throws for a command that Redis cannot serve. */
export type SendRedisCommand = (...command: string[]) => Promise<RedisReply>;

export interface RateLimitOptions {
  readonly rates: RequestRates;
  readonly sendCommand: SendRedisCommand;
  /** Whether Redis serves; otherwise requests are not counted. */
  readonly isCounting: () => boolean;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Limits the requests of each key. A refused request gets `too_many_requests` with `Retry-After`; every counted response
 * carries `RateLimit` and `RateLimit-Policy`. Mount it after the check of the key. Without Redis no request is refused.
 */
export function limitRate(policy: keyof RequestRates, options: RateLimitOptions): RequestHandler {
  const { rates, isCounting, logger } = options;
  const limit = rates[policy];
  if (limit === 0) return (_request, _response, next) => next();
  const log = (error: unknown): void => logger.warn({ error }, 'rate limit failed');
  return rateLimit({
    windowMs,
    limit,
    identifier: policyNames[policy],
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: (_request, response) => callerOf(response).owner ?? '',
    skip: () => !isCounting(),
    store: new RedisStore({
      prefix: `${rateLimitPrefix}${policyNames[policy]}:`,
      sendCommand: surviveOutageAtStart(options.sendCommand),
    }),
    passOnStoreError: true,
    logger: { warn: log, error: log },
    handler: (_request, _response, next) => next(new HttpError('too_many_requests', refusals[policy](limit))),
  });
}

const policyNames: Readonly<Record<keyof RequestRates, string>> = { all: 'requests', creating: 'job-requests' };

const refusals: Readonly<Record<keyof RequestRates, (limit: number) => string>> = {
  all: (limit) => `A key may send ${limit} requests per minute. Wait for the time in Retry-After.`,
  creating: (limit) =>
    `A key may send ${limit} requests per minute that create jobs. Wait for the time in Retry-After, or send a batch.`,
};

/**
 * The store loads its scripts once and never again after a failure, so a Redis that is down at that moment would end the
 * limit permanently. The id of a script is its digest; the store loads a script that Redis does not have.
 */
function surviveOutageAtStart(sendCommand: SendRedisCommand): SendRedisCommand {
  return async (...command) => {
    const [name, action, script = ''] = command;
    const sent = sendCommand(...command);
    if (name !== 'SCRIPT' || action !== 'LOAD') return sent;
    return sent.catch(() => createHash('sha1').update(script).digest('hex'));
  };
}
