import { LipsyncError } from '@lipsync/core/host';
import { ReplyError } from 'ioredis';

/** Why Redis does not serve a command that is correct. */
export type RedisOutageKind =
  | 'unreachable'
  | 'untrusted'
  | 'out_of_memory'
  | 'disk_error'
  | 'read_only'
  | 'not_ready'
  | 'too_many_clients'
  | 'access_denied';

/** What happened and what to do, after the name of the Redis. */
const advice: Readonly<Record<RedisOutageKind, string>> = {
  unreachable:
    'cannot be reached. Check that it runs and that REDIS_URL has its address (rediss:// if it uses TLS), then try again.',
  untrusted:
    'has a TLS certificate that is not accepted. Check its dates, that it is for the host name in REDIS_URL, and that ' +
    '"ca_file" in REDIS_URL names the authority that signed it.',
  out_of_memory: 'is out of memory. Raise its "maxmemory" or free some of its memory, then try again.',
  disk_error: 'cannot write its data to disk. Free space on its disk or repair the disk, then try again.',
  read_only: 'accepts no writes, because it is a replica. Set REDIS_URL to the primary, or wait for the failover.',
  not_ready: 'is not ready: it loads its data or runs another long command. Try again shortly.',
  too_many_clients: 'accepts no more connections. Raise its "maxclients" or stop some clients, then try again.',
  access_denied: 'rejects the user name or password of REDIS_URL, or the user lacks a permission. Correct it.',
};

/** Redis does not serve at the moment; a later try of the same command can succeed. */
export class RedisOutage extends LipsyncError {
  readonly kind: RedisOutageKind;

  constructor(kind: RedisOutageKind, options: { readonly cause?: unknown } = {}) {
    super('resource_exhausted', outageMessage(kind, 'Redis'), options);
    this.name = 'RedisOutage';
    this.kind = kind;
  }
}

/** `redis` names the server, for example with its address. */
export function outageMessage(kind: RedisOutageKind, redis: string): string {
  return `${redis} ${advice[kind]}`;
}

const replyKinds: ReadonlyMap<string, RedisOutageKind> = new Map([
  ['OOM', 'out_of_memory'],
  ['MISCONF', 'disk_error'],
  ['NOREPLICAS', 'disk_error'],
  ['READONLY', 'read_only'],
  ['LOADING', 'not_ready'],
  ['BUSY', 'not_ready'],
  ['MASTERDOWN', 'not_ready'],
  ['TRYAGAIN', 'not_ready'],
  ['CLUSTERDOWN', 'not_ready'],
  ['NOAUTH', 'access_denied'],
  ['WRONGPASS', 'access_denied'],
  ['NOPERM', 'access_denied'],
]);

/** The error of a failed Redis command: a `RedisOutage`, or `internal` when the command itself is wrong. */
export function toRedisError(error: unknown): LipsyncError {
  if (LipsyncError.isInstance(error)) return error;
  const kind = error instanceof Error && error instanceof ReplyError ? replyKind(error) : 'unreachable';
  if (kind !== undefined) return new RedisOutage(kind, { cause: error });
  return new LipsyncError('internal', 'Redis rejected a command. This is a bug; please report it.', { cause: error });
}

/** Whether an error, or one of its causes, is a `RedisOutage`. */
export function isRedisOutage(error: unknown): boolean {
  if (error instanceof RedisOutage) return true;
  return error instanceof Error && error.cause !== undefined && isRedisOutage(error.cause);
}

/** The outage behind an error of ioredis or BullMQ themselves; undefined for an error with another cause. */
export function outageOfClient(error: Error): RedisOutageKind | undefined {
  if (error instanceof ReplyError) return replyKind(error);
  if ('code' in error && certificateCode.test(String(error.code))) return 'untrusted';
  return isConnectionError(error) ? 'unreachable' : undefined;
}

/**
 * The code is the first word of an error reply. Redis before version 7 puts the reply of a command inside a script after
 * ": -". The limit on connections has no code of its own.
 */
function replyKind({ message }: Error): RedisOutageKind | undefined {
  if (message.includes('max number of clients')) return 'too_many_clients';
  const code = /^(?:ERR .*?: -)?([A-Z]+) /.exec(`${message} `)?.[1];
  return replyKinds.get(code ?? '');
}

const unreachableCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPROTO',
]);

/** Codes of OpenSSL and Node for a certificate that fails the verification. */
const certificateCode = /CERT|ISSUER|LEAF_SIGNATURE|PATH_LENGTH|INVALID_CA/;

/** Errors that ioredis and BullMQ raise without a reply; ioredis gives some of them no code and no class. */
function isConnectionError(error: Error): boolean {
  if ('code' in error && unreachableCodes.has(String(error.code))) return true;
  return error.name === 'MaxRetriesPerRequestError' || /^(Connection is closed|Command timed out)/.test(error.message);
}
