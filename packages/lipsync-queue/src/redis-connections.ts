import { setTimeout as delay } from 'node:timers/promises';
import {
  LipsyncError,
  OutageLog,
  systemClock,
  type ArtifactStore,
  type Clock,
  type Failure,
  type Logger,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { createClientConnection, guardRedis } from './connection.ts';
import { RedisClock } from './redis-clock.ts';
import { redisAddressOf } from './redis-url.ts';
import { isRedisOutage, outageMessage, outageOfClient, RedisOutage } from './redis-outage.ts';

export interface RedisConnectionsOptions {
  readonly url: string;
  /** The store with the files of the jobs in this Redis. */
  readonly artifacts: Pick<ArtifactStore, 'id'>;
  /**
   * Whether `waitUntilServing` waits while the store is not the one of the jobs, for example until a shared folder is
   * mounted. Default: false, it throws.
   */
  readonly waitsForStore?: boolean;
  /** The clock of this machine. Default: `systemClock`. */
  readonly localClock?: Clock;
  readonly logger: Logger;
}

/** The id of the artifact store that the jobs of this Redis use. Delete it to let the next service take over. */
export const storeIdKey = 'lipsync:store';
/** Its name in the log. */
const storePart = 'artifact store';
const probeKey = 'lipsync:probe';
const probeLifetimeMs = 60_000;
const retryIntervalMs = 1_000;
const intervalMs = 15_000;
const minIntervalMs = 250;

/**
 * The connections of a process to Redis, and whether Redis serves: reachable, writable, and used by services with the
 * same artifact store only. `verify`, which precedes every job, stores the id of the artifact store in Redis; the first
 * check only compares, so that a worker without the shared folder does not exclude the API that starts after it. Checks at
 * intervals, after reported errors, and every second until Redis serves again, and logs the changes. The caller calls
 * `disconnect`.
 */
export class RedisConnections {
  /** For commands; connects with the first one. */
  readonly commands: Redis;
  /** The clock of Redis, read with every check. */
  readonly clock: RedisClock;
  /** For subscriptions; can run no commands meanwhile. */
  readonly subscriptions: Redis;
  /**
   * The logger, for lines that are not about Redis itself: warnings and errors whose `error` an outage of Redis caused
   * have level `debug`, because the outage has a line of its own.
   */
  readonly logger: Logger;
  readonly #options: RedisConnectionsOptions;
  readonly #address: string;
  readonly #log: OutageLog;
  readonly #refused = Promise.withResolvers<LipsyncError>();
  #running: Promise<void> | undefined;
  #next: NodeJS.Timeout | undefined;
  #checkedAtMs = -Infinity;
  #connectionError: Error | undefined;
  #storeId: string | undefined;
  #isVerified = false;
  #waitsForStore = false;
  #serves = true;
  #closed = false;

  constructor(options: RedisConnectionsOptions) {
    this.#options = options;
    this.clock = new RedisClock(options.localClock ?? systemClock);
    this.logger = this.#createLogger(options.logger);
    this.#address = redisAddressOf(options.url);
    this.#log = new OutageLog({ logger: options.logger, clock: systemClock });
    const onError = (error: Error): void => void this.report(error);
    this.commands = createClientConnection({ url: options.url, onError });
    this.subscriptions = createClientConnection({ url: options.url, onError });
  }

  /** Whether the last check found Redis reachable and writable; true before the first one. */
  get serves(): boolean {
    return this.#serves;
  }

  /** Resolves with the reason when this process must not use this Redis; never rejects. */
  get refused(): Promise<LipsyncError> {
    return this.#refused.promise;
  }

  /** Call with errors of ioredis, BullMQ and stores. Returns whether an outage of Redis caused the error. */
  report(error: unknown): boolean {
    const isClientError = error instanceof Error && outageOfClient(error) !== undefined;
    if (!isClientError && !isRedisOutage(error)) return false;
    if (isClientError && 'code' in error) this.#connectionError = error;
    if (this.#serves && performance.now() - this.#checkedAtMs >= minIntervalMs) this.#schedule(0);
    return true;
  }

  /**
   * Writes to Redis and compares its artifact store, if it has one, with ours; concurrent calls share one check. Throws a
   * `RedisOutage`, the error of the artifact store, or `request_invalid` when another store uses this Redis.
   */
  check(): Promise<void> {
    this.#running ??= this.#check().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /**
   * As `check`, and makes our store that of a Redis without one. Resolves immediately after the first success. Call it
   * before a job is stored or run.
   */
  async verify(): Promise<void> {
    while (!this.#isVerified) {
      await this.check();
      if (!this.#isVerified) await this.#adopt(await this.#options.artifacts.id());
    }
  }

  /** The first check, for a process that also starts without Redis. Throws when this process must not use this Redis. */
  async open(limitMs: number): Promise<void> {
    const refusal = await Promise.race([this.verify().then(() => undefined, toRefusal), delay(limitMs)]);
    if (refusal) throw refusal;
  }

  /**
   * Resolves when Redis serves. Throws when this process must not use it (see `waitsForStore`), and the reason of the
   * aborted signal.
   */
  async waitUntilServing(signal: AbortSignal): Promise<void> {
    this.#waitsForStore = this.#options.waitsForStore === true;
    for (;;) {
      signal.throwIfAborted();
      try {
        await this.check();
        this.#waitsForStore = false;
        return;
      } catch (error) {
        const refusal = this.#isAwaited(error) ? undefined : toRefusal(error);
        if (refusal) throw refusal;
        await delay(retryIntervalMs, undefined, { signal });
      }
    }
  }

  /** Closes the connections; commands that wait fail. */
  disconnect(): void {
    this.#closed = true;
    clearTimeout(this.#next);
    this.commands.disconnect();
    this.subscriptions.disconnect();
  }

  #createLogger(logger: Logger): Logger {
    const log =
      (level: 'warn' | 'error'): Logger['warn'] =>
      (fields, message) =>
        logger['error' in fields && this.report(fields.error) ? 'debug' : level](fields, message);
    return {
      debug: (fields, message) => logger.debug(fields, message),
      info: (fields, message) => logger.info(fields, message),
      warn: log('warn'),
      error: log('error'),
    };
  }

  async #check(): Promise<void> {
    try {
      await this.#probe();
      this.#serves = true;
      this.#connectionError = undefined;
      this.#log.worked(storePart);
      this.#schedule(this.#log.worked('redis') ? intervalMs : retryIntervalMs);
    } catch (error) {
      // Jobs can still be handed back to a Redis of another store.
      this.#serves = error instanceof OtherStoreError;
      if (!this.#closed) this.#onFailure(error);
      throw error;
    } finally {
      this.#checkedAtMs = performance.now();
    }
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#next);
    if (this.#closed) return;
    this.#next = setTimeout(() => void this.check().catch(() => undefined), afterMs).unref();
  }

  async #probe(): Promise<void> {
    const { commands } = this;
    await guardRedis(async () => {
      await commands.set(probeKey, '', 'PX', probeLifetimeMs);
      await this.clock.synchronize(commands);
    });
    // Kept once it is right: a folder that is emptied later would get another id.
    const id = this.#storeId ?? (await this.#options.artifacts.id());
    if (this.#isVerified) await this.#adopt(id);
    const stored = await guardRedis(() => commands.get(storeIdKey));
    if (stored === null) return;
    if (stored !== id) throw new OtherStoreError(this.#address);
    this.#storeId = id;
    this.#isVerified = true;
  }

  async #adopt(id: string): Promise<void> {
    await guardRedis(() => this.commands.setnx(storeIdKey, id));
  }

  #isAwaited(error: unknown): boolean {
    return this.#waitsForStore && error instanceof OtherStoreError;
  }

  #onFailure(error: unknown): void {
    if (this.#isAwaited(error)) {
      this.#log.failed(storePart, { reason: 'other_folder', message: awaitedStoreMessage(this.#address) });
      return;
    }
    const refusal = this.#isVerified ? toStoreRefusal(error) : toRefusal(error);
    if (refusal) {
      // Ends the process, which logs it.
      this.#refused.resolve(refusal);
      return;
    }
    this.#log.failed('redis', this.#describe(error));
    this.#schedule(retryIntervalMs);
  }

  #describe(error: unknown): Failure {
    const redis = this.#address;
    if (!(error instanceof RedisOutage))
      return {
        reason: LipsyncError.isInstance(error) ? error.code : 'internal',
        message: textOf(error),
        fields: { redis },
      };
    // The error of a command does not state why there is no connection.
    const connectionError = error.kind === 'unreachable' ? this.#connectionError : undefined;
    const kind = (connectionError && outageOfClient(connectionError)) ?? error.kind;
    const origin = connectionError ?? error.cause;
    const message = outageMessage(kind, `Redis at ${redis}`);
    return { reason: kind, message, fields: { redis, cause: textOf(origin) } };
  }
}

/** Refusals at start. Later, an operator may be about to correct the password, so that the process waits. */
function toRefusal(error: unknown): LipsyncError | undefined {
  if (!(error instanceof RedisOutage) || error.kind !== 'access_denied') return toStoreRefusal(error);
  return new LipsyncError('request_invalid', `REDIS_URL: ${error.message}`, { cause: error });
}

function toStoreRefusal(error: unknown): LipsyncError | undefined {
  return LipsyncError.isInstance(error) && error.code === 'request_invalid' ? error : undefined;
}

/** The id of the artifact store in Redis is another one than ours. */
class OtherStoreError extends LipsyncError {
  constructor(address: string) {
    super(
      'request_invalid',
      `REDIS_URL, LIPSYNC_DATA_DIR, LIPSYNC_OUTPUT_DIR: the Redis at ${address} belongs to a service with other folders, ` +
        `whose jobs this service would take without having their files. ${otherStoreRemedy}`,
    );
  }
}

const otherStoreRemedy =
  'Use the folders of that service, or another Redis or database number (a REDIS_URL that ends in /1). If its ' +
  `data folder is gone, delete the key ${storeIdKey} in Redis, then start again.`;

function awaitedStoreMessage(address: string): string {
  return (
    `This worker takes no jobs: LIPSYNC_DATA_DIR or LIPSYNC_OUTPUT_DIR is not the folder of the API that uses the Redis at ` +
    `${address}, so that one does not find the files of the other. The worker starts when the folder is mounted. ${otherStoreRemedy}`
  );
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
