import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { LipsyncError } from '@lipsync/core/host';
import type { RedisOptions } from 'ioredis';

const defaultSentinelPort = 26_379;

/** The part of a Redis URL that ioredis parses, and the options of our own parameters. */
export interface ParsedRedisUrl {
  readonly url: string;
  readonly options: Pick<
    RedisOptions,
    'tls' | 'sentinels' | 'name' | 'sentinelUsername' | 'sentinelPassword' | 'sentinelTLS' | 'enableTLSForSentinelMode'
  >;
}

/**
 * Parses the parameters of a redis:// or rediss:// URL that ioredis does not have: `ca_file`, a PEM file with the
 * certificate authority of the server, and `sentinels`, `sentinel_name`, `sentinel_username` and `sentinel_password`.
 * Throws `request_invalid` when the file is missing or no certificate, or a parameter is wrong.
 */
export function parseRedisUrl(text: string): ParsedRedisUrl {
  const url = new URL(text);
  const take = (name: string): string | undefined => {
    const value = url.searchParams.get(name) ?? undefined;
    url.searchParams.delete(name);
    return value === '' ? undefined : value;
  };
  const caFile = take('ca_file');
  if (caFile !== undefined && url.protocol !== 'rediss:')
    throw invalid('ca_file is for rediss:// URLs; redis:// is not encrypted.');
  const tls = caFile === undefined ? undefined : { ca: readCa(caFile) };
  const sentinels = take('sentinels');
  const name = take('sentinel_name');
  const username = take('sentinel_username');
  const password = take('sentinel_password');
  if ((sentinels === undefined) !== (name === undefined)) throw invalid('give both sentinels and sentinel_name.');
  return {
    url: url.href,
    options: {
      ...(tls && { tls }),
      ...(sentinels !== undefined && name !== undefined && { sentinels: sentinels.split(',').map(toAddress), name }),
      ...(sentinels !== undefined &&
        url.protocol === 'rediss:' && { enableTLSForSentinelMode: true, sentinelTLS: tls ?? {} }),
      ...(username !== undefined && { sentinelUsername: username }),
      ...(password !== undefined && { sentinelPassword: password }),
    },
  };
}

/** Host, port and database number, or the name of the group and its sentinels, without user names and passwords. */
export function redisAddressOf(text: string): string {
  const { host, hostname, port, pathname, searchParams } = new URL(text);
  const database = pathname.replace(/^\/0?$/, '');
  const name = searchParams.get('sentinel_name');
  if (name !== null) return `${name} (sentinels ${searchParams.get('sentinels') ?? ''})${database}`;
  return `${port === '' ? `${hostname}:6379` : host}${database}`;
}

function toAddress(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', port] = /^(?<host>\[[0-9a-fA-F:]+\]|[^:\s]+)(?::(?<port>\d{1,5}))?$/.exec(text.trim()) ?? [];
  if (host === '') throw invalid(`sentinels must be host:port, separated by commas; "${text}" is not.`);
  return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? defaultSentinelPort : Number(port) };
}

function readCa(path: string): string {
  const text = readCaFile(path);
  if (!isCertificate(text)) throw invalid(`ca_file ${path} is not a certificate in PEM format.`);
  return text;
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}

function readCaFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`ca_file ${path} cannot be read.`, error);
  }
}

function invalid(problem: string, cause?: unknown): LipsyncError {
  return new LipsyncError('request_invalid', `REDIS_URL: ${problem}`, cause === undefined ? {} : { cause });
}
