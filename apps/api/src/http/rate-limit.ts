import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Request, RequestHandler } from 'express';
import { ipKeyGenerator, rateLimit, type ValueDeterminingMiddleware } from 'express-rate-limit';
import { RedisStore, type RedisReply } from 'rate-limit-redis';
import type { Logger } from '@lipsync/core/host';
import { rateLimitPrefix } from '@lipsync/queue';
import { callerOf } from './access.ts';
import { HttpError } from './problem.ts';

const windowMs = 60_000;

/** How many requests may arrive in a minute, at all API processes together; 0 for no limit. */
export interface RequestRates {
  /** Requests of one key to routes that need a key. */
  readonly all: number;
  /** Those of them that create jobs. */
  readonly creating: number;
  /** Requests with an unknown key from one address. */
  readonly failedLogins: number;
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
export function limitRate(policy: 'all' | 'creating', options: RateLimitOptions): RequestHandler {
  if (options.rates[policy] === 0) return (_request, _response, next) => next();
  return countRequests(policy, options, {
    store: createCounts(policy, options),
    keyGenerator: (_request, response) => callerOf(response).owner ?? '',
  });
}

/** Limits the failed logins of each address. */
export interface LoginLimit {
  /** Returns whether the address of a request has used up its failed logins. */
  isExceeded(request: Request): Promise<boolean>;
  /** Counts a request; passes `too_many_requests` to `next` beyond the limit. */
  readonly count: RequestHandler;
}

/** Without a limit, or while Redis is down, nothing is counted or exceeded. */
export function createLoginLimit(options: RateLimitOptions): LoginLimit {
  const limit = options.rates.failedLogins;
  if (limit === 0) return { isExceeded: async () => false, count: (_request, _response, next) => next() };
  const store = createCounts('failedLogins', options);
  return {
    async isExceeded(request) {
      if (!options.isCounting()) return false;
      try {
        return ((await store.get(addressOf(request)))?.totalHits ?? 0) >= limit;
      } catch (error) {
        options.logger.warn({ error }, 'rate limit failed');
        return false;
      }
    },
    count: countRequests('failedLogins', options, { store, keyGenerator: addressOf }),
  };
}

/** The address of the client; for IPv6 its network, because a client has many addresses. */
export function addressOf({ ip = '', socket }: Request): string {
  // A trusted proxy may pass something else on, such as an address with a port.
  return ipKeyGenerator(isIP(ip) === 0 ? (socket.remoteAddress ?? '') : ip);
}

function countRequests(
  policy: keyof RequestRates,
  { rates, isCounting, logger }: RateLimitOptions,
  counts: { readonly store: RedisStore; readonly keyGenerator: ValueDeterminingMiddleware<string> },
): RequestHandler {
  const limit = rates[policy];
  const log = (error: unknown): void => logger.warn({ error }, 'rate limit failed');
  return rateLimit({
    windowMs,
    limit,
    identifier: policyNames[policy],
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    ...counts,
    skip: () => !isCounting(),
    passOnStoreError: true,
    logger: { warn: log, error: log },
    handler: (_request, _response, next) => next(new HttpError('too_many_requests', refusals[policy](limit))),
  });
}

function createCounts(policy: keyof RequestRates, { sendCommand }: RateLimitOptions): RedisStore {
  return new RedisStore({
    prefix: `${rateLimitPrefix}${policyNames[policy]}:`,
    sendCommand: surviveOutageAtStart(sendCommand),
  });
}

const policyNames: Readonly<Record<keyof RequestRates, string>> = {
  all: 'requests',
  creating: 'job-requests',
  failedLogins: 'failed-logins',
};

const refusals: Readonly<Record<keyof RequestRates, (limit: number) => string>> = {
  all: (limit) => `A key may send ${limit} requests per minute. Wait for the time in Retry-After.`,
  creating: (limit) =>
    `A key may send ${limit} requests per minute that create jobs. Wait for the time in Retry-After, or send a batch.`,
  failedLogins: (limit) =>
    `An address may send ${limit} requests per minute with an unknown API key. Wait for the time in Retry-After.`,
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
