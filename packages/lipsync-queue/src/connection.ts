import { LipsyncError } from '@lipsync/core';
import { Redis, ReplyError, type RedisOptions } from 'ioredis';

export interface ConnectionOptions {
  /** redis:// or rediss://. */
  readonly url: string;
  /** Told of every lost connection; ioredis reconnects by itself. */
  readonly onError: (error: Error) => void;
}

const connectTimeoutMs = 2_000;
const commandTimeoutMs = 5_000;
const maxReconnectDelayMs = 1_000;

/** Replies in ioredis' usual shapes; the other mapping has types of its own. */
type UsualOptions = Omit<RedisOptions, 'replyMapping'>;

const commonOptions: UsualOptions = {
  lazyConnect: true,
  connectTimeout: connectTimeoutMs,
  retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 10), maxReconnectDelayMs),
};

/**
 * A connection for asking and storing: while Redis is away a command fails within a few seconds instead of waiting, so
 * that whoever asked can be told. Connects with the first command. The caller ends it with `quit` or `disconnect`.
 */
export function createClientConnection(options: ConnectionOptions): Redis {
  return connect(options, { maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs });
}

/** A connection for a BullMQ worker: its blocking commands wait for Redis as long as it takes. */
export function createWorkerConnection(options: ConnectionOptions): Redis {
  return connect(options, { maxRetriesPerRequest: null });
}

function connect({ url, onError }: ConnectionOptions, options: UsualOptions): Redis {
  const connection = new Redis(url, { ...commonOptions, ...options });
  connection.on('error', onError);
  return connection;
}

/** Words with which Redis says that it cannot serve now: full, loading, read-only, disk trouble, busy with a script. */
const passingReplies: ReadonlySet<string> = new Set([
  'OOM',
  'LOADING',
  'READONLY',
  'MISCONF',
  'BUSY',
  'MASTERDOWN',
  'TRYAGAIN',
]);

/** What a failed Redis command means to a caller: `resource_exhausted` (try later) unless the command itself is wrong. */
export function toRedisError(error: unknown): LipsyncError {
  if (LipsyncError.isInstance(error)) return error;
  if (error instanceof Error && error instanceof ReplyError && !passingReplies.has(replyCode(error))) {
    return new LipsyncError('internal', 'The job store refused a command. Report this.', { cause: error });
  }
  return new LipsyncError('resource_exhausted', 'The job store cannot be reached at the moment. Try again shortly.', {
    cause: error,
  });
}

/** The first word of an error reply is its code, by Redis' protocol. */
function replyCode(error: Error): string {
  return error.message.split(' ', 1)[0] ?? '';
}
