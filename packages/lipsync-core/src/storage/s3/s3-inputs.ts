import { LipsyncError } from '../../errors/index.ts';
import { checkUrl, type AllowedPrivateHosts } from '../../net/index.ts';
import type { S3InputSettings } from '../artifact-store-settings.ts';
import { S3Bucket } from './s3-bucket.ts';

const scheme = 's3://';
/** A download begins at once and may be repeated. */
const urlLifetimeMs = 60 * 60_000;
const maxKeyBytes = 1_024;

/** Servers and clients remove these from a path, so that it would lead to another object or bucket. */
const dotSegments: ReadonlySet<string> = new Set(['.', '..']);

/** Whether a URL names an object of a bucket. */
export function isS3Url(url: string): boolean {
  return url.slice(0, scheme.length).toLowerCase() === scheme;
}

/** Which sources of inputs a service reads. */
export interface SourceRules {
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  /** Null or absent: no buckets. */
  readonly s3Inputs?: S3InputSettings | null;
}

/** Checks the URL of an input without network access. Throws `request_invalid` and `url_forbidden`, as `checkUrl`. */
export function checkSourceUrl(url: string, { allowedPrivateHosts, s3Inputs = null }: SourceRules): void {
  if (isS3Url(url)) parseS3Url(url, s3Inputs);
  else checkUrl(url, allowedPrivateHosts);
}

/**
 * Returns an http(s) URL that reads the object of an `s3://` URL for a limited time. Throws `request_invalid`,
 * `url_forbidden`, and a `StorageError` without credentials.
 */
export async function signS3Url(url: string, settings: S3InputSettings | null): Promise<string> {
  const { bucket, key, connection } = parseS3Url(url, settings);
  return new S3Bucket({ ...connection, bucket, prefix: '' }).signedUrl(key, { lifetimeMs: urlLifetimeMs });
}

/** The key is taken as it is written, without decoding, as by the tools of AWS. */
function parseS3Url(url: string, settings: S3InputSettings | null) {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]+)\/(.+)$/is.exec(url) ?? [];
  if (bucket === '' || key.endsWith('/') || Buffer.byteLength(key) > maxKeyBytes)
    throw new LipsyncError('request_invalid', 'The URL names no object. Give s3://BUCKET/KEY.');
  if (key.split(/[/\\]/).some((segment) => dotSegments.has(segment)))
    throw new LipsyncError(
      'request_invalid',
      'The key has a segment "." or "..", which no URL can name. Copy the object to another key.',
    );
  const { own } = settings ?? {};
  if (own && bucket === own.bucket && key.startsWith(own.prefix))
    throw new LipsyncError('url_forbidden', 'The service does not read its own files as inputs. Use another object.');
  if (!settings?.buckets.includes(bucket))
    throw new LipsyncError(
      'url_forbidden',
      'The service does not read this bucket. Use an http or https URL, or let the operator allow the bucket with LIPSYNC_S3_INPUT_BUCKETS.',
    );
  return { bucket, key, connection: settings.connection };
}
