import { Writable } from 'node:stream';
import { Redis, type RedisOptions } from 'ioredis';
import { outageOfClient, toRedisError } from './redis-outage.ts';
import { parseRedisUrl } from './redis-url.ts';

export interface ConnectionOptions {
  /** redis:// or rediss://, with the parameters of `parseRedisUrl`. */
  readonly url: string;
  /** Called after each connection error (ioredis reconnects by itself) and each command that Redis cannot serve. */
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
  const parsed = parseRedisUrl(url);
  const connection = new Redis(parsed.url, { ...commonOptions, ...parsed.options, ...options });
  connection.on('error', onError);
  const sendCommand = connection.sendCommand.bind(connection);
  connection.sendCommand = (command, ...rest) => {
    collectWrites(connection);
    command.promise.catch((error: unknown) => {
      if (error instanceof Error && outageOfClient(error) !== undefined) onError(error);
    });
    return sendCommand(command, ...rest);
  };
  return connection;
}

const collecting = new WeakSet<object>();

/**
 * Sends the commands of one turn of the event loop together, because a system call for each command takes more time than
 * everything else that the client does. Nothing waits: the turn ends before the process looks for new input.
 */
function collectWrites({ stream }: Redis): void {
  // There is no stream before the first connection.
  if (!(stream instanceof Writable) || collecting.has(stream)) return;
  collecting.add(stream);
  stream.cork();
  setImmediate(() => {
    collecting.delete(stream);
    stream.uncork();
  });
}

/** Runs Redis commands. Throws a `RedisOutage` while Redis cannot serve, `internal` for a command that it rejects. */
export async function guardRedis<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toRedisError(error);
  }
}

const scanSize = 250;

/**
 * Yields the members of a set of any size, in replies of a few hundred. A member that is added or removed meanwhile may be
 * left out, and a member may be yielded twice. Throws `resource_exhausted` without Redis.
 */
export async function* scanSet(connection: Redis, key: string): AsyncGenerator<string> {
  let cursor = '0';
  do {
    const [next, members] = await guardRedis(() => connection.sscan(key, cursor, 'COUNT', scanSize));
    yield* members;
    cursor = next;
  } while (cursor !== '0');
}
