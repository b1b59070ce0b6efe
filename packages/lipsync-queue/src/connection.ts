import { LipsyncError } from '@lipsync/core/host';
import { Redis, ReplyError, type RedisOptions } from 'ioredis';

export interface ConnectionOptions {
  /** redis:// or rediss://. */
  readonly url: string;
  /** Called after each connection error; ioredis reconnects by itself. */
  readonly onError: (error: Error) => void;
}

const connectTimeoutMs = 2_000;
const commandTimeoutMs = 5_000;
const maxReconnectDelayMs = 1_000;

/** Options for replies in ioredis' default shapes; the alternative mapping has its own types. */
type DefaultReplyOptions = Omit<RedisOptions, 'replyMapping'>;

const commonOptions: DefaultReplyOptions = {
  lazyConnect: true,
  connectTimeout: connectTimeoutMs,
  retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 10), maxReconnectDelayMs),
};

/**
 * A connection for commands and subscriptions. While Redis is unreachable a command fails within seconds instead of
 * waiting, so that an HTTP request can be answered. Connects with the first command. The caller closes it.
 */
export function createClientConnection(options: ConnectionOptions): Redis {
  return connect(options, { maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs });
}

/** A connection for a BullMQ worker: its blocking commands wait for Redis without a limit. The caller closes it. */
export function createWorkerConnection(options: ConnectionOptions): Redis {
  return connect(options, { maxRetriesPerRequest: null });
}

function connect({ url, onError }: ConnectionOptions, options: DefaultReplyOptions): Redis {
  const connection = new Redis(url, { ...commonOptions, ...options });
  connection.on('error', onError);
  return connection;
}

/**
 * Codes of error replies after which the same command can succeed later: out of memory, loading, read-only, disk error.
 */
const transientReplyCodes: ReadonlySet<string> = new Set([
  'OOM',
  'LOADING',
  'READONLY',
  'MISCONF',
  'BUSY',
  'MASTERDOWN',
  'TRYAGAIN',
]);

/**
 * Runs Redis commands. Throws `resource_exhausted` while Redis cannot serve, `internal` for a command that it rejects.
 */
export async function guardRedis<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toRedisError(error);
  }
}

/** The error of a failed Redis command: `resource_exhausted` (retry later) unless the command itself is wrong. */
function toRedisError(error: unknown): LipsyncError {
  if (LipsyncError.isInstance(error)) return error;
  if (error instanceof Error && error instanceof ReplyError && !transientReplyCodes.has(replyCode(error))) {
    return new LipsyncError('internal', 'Redis rejected a command. This is a bug; please report it.', { cause: error });
  }
  return new LipsyncError('resource_exhausted', 'The job store is unavailable. Try again shortly.', { cause: error });
}

/** In Redis' protocol the first word of an error reply is its code. */
function replyCode(error: Error): string {
  return error.message.split(' ', 1)[0] ?? '';
}
