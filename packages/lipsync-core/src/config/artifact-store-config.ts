import { z } from 'zod';
import {
  baseUrl,
  boolean,
  byteCount,
  listOf,
  oneOf,
  text,
  wholeNumber,
  type Settings,
  type SettingValues,
} from '../contract/setting-types.ts';
import { LipsyncError } from '../errors/index.ts';
import {
  checksumModes,
  type ArtifactStoreSettings,
  type S3Connection,
  type S3InputSettings,
} from '../storage/index.ts';

const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const prefixPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;
/** S3 signs no URL for longer than a week. */
const maxSignedUrlS = 604_800;

/** The settings of the artifact store. The names of the AWS variables are those of every AWS tool. */
export const artifactStoreSettings = {
  LIPSYNC_ARTIFACT_STORE: oneOf(['file', 's3'], 'file'),
  LIPSYNC_S3_BUCKET: text(''),
  LIPSYNC_S3_PREFIX: text(''),
  LIPSYNC_S3_ENDPOINT: baseUrl(),
  LIPSYNC_S3_PATH_STYLE: boolean(false),
  LIPSYNC_S3_CHECKSUMS: oneOf(checksumModes, 'WHEN_REQUIRED'),
  LIPSYNC_S3_SIGNED_URL_S: wholeNumber(0, { minimum: 0, maximum: maxSignedUrlS }),
  LIPSYNC_S3_PUBLIC_ENDPOINT: baseUrl(),
  LIPSYNC_S3_INPUT_BUCKETS: listOf(z.string().regex(bucketPattern, 'must be names of buckets'), []),
  LIPSYNC_INPUT_CACHE_BYTES: byteCount(10 * 1024 ** 3),
  AWS_REGION: text('us-east-1'),
  AWS_ACCESS_KEY_ID: text(''),
  AWS_SECRET_ACCESS_KEY: text(''),
  AWS_SESSION_TOKEN: text(''),
} satisfies Settings;

type Values = SettingValues<typeof artifactStoreSettings>;

/** Throws `request_invalid` for a bucket or prefix that S3 refuses, and for half of a key. */
export function toArtifactStore(values: Values): ArtifactStoreSettings {
  if (values.LIPSYNC_ARTIFACT_STORE === 'file') return Object.freeze({ kind: 'file' });
  const { LIPSYNC_S3_BUCKET: bucket, LIPSYNC_S3_SIGNED_URL_S: lifetimeS } = values;
  if (!bucketPattern.test(bucket))
    throw invalid('LIPSYNC_S3_BUCKET: LIPSYNC_ARTIFACT_STORE=s3 needs the name of a bucket.');
  const path = values.LIPSYNC_S3_PREFIX.replace(/\/+$/, '');
  if (path !== '' && !prefixPattern.test(path))
    throw invalid(
      'LIPSYNC_S3_PREFIX: must be letters, digits, ".", "_", "-" and "/", without a "/" or "." at the start.',
    );
  const lifetimeMs = lifetimeS * 1_000;
  return Object.freeze({
    kind: 's3',
    s3: Object.freeze({ bucket, prefix: path === '' ? '' : `${path}/`, ...toConnection(values) }),
    signedUrls: lifetimeMs === 0 ? null : { lifetimeMs, endpoint: toUrlOrNull(values.LIPSYNC_S3_PUBLIC_ENDPOINT) },
    cacheBytes: values.LIPSYNC_INPUT_CACHE_BYTES,
  });
}

/** The buckets of inputs, wherever the service stores its own files. Null: none is allowed. */
export function toS3Inputs(values: Values): S3InputSettings | null {
  const { LIPSYNC_S3_INPUT_BUCKETS: buckets } = values;
  if (buckets.length === 0) return null;
  const store = toArtifactStore(values);
  return Object.freeze({ buckets, own: store.kind === 's3' ? store.s3 : null, connection: toConnection(values) });
}

function toConnection(values: Values): S3Connection {
  return Object.freeze({
    region: values.AWS_REGION,
    endpoint: toUrlOrNull(values.LIPSYNC_S3_ENDPOINT),
    pathStyle: values.LIPSYNC_S3_PATH_STYLE,
    checksums: values.LIPSYNC_S3_CHECKSUMS,
    credentials: toCredentials(values),
  });
}

function toUrlOrNull(url: string): string | null {
  return url === '' ? null : url;
}

function toCredentials({
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secretAccessKey,
  AWS_SESSION_TOKEN: sessionToken,
}: Values) {
  if (accessKeyId === '' && secretAccessKey === '') return null;
  if (accessKeyId === '' || secretAccessKey === '')
    throw invalid('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both, or neither.');
  return Object.freeze({ accessKeyId, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) });
}

function invalid(message: string): LipsyncError {
  return new LipsyncError('request_invalid', message);
}
