import {
  baseUrl,
  boolean,
  byteCount,
  oneOf,
  text,
  type Settings,
  type SettingValues,
} from '../contract/setting-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { checksumModes, type ArtifactStoreSettings } from '../storage/index.ts';

/** The settings of the artifact store. The names of the AWS variables are those of every AWS tool. */
export const artifactStoreSettings = {
  LIPSYNC_ARTIFACT_STORE: oneOf(['file', 's3'], 'file'),
  LIPSYNC_S3_BUCKET: text(''),
  LIPSYNC_S3_PREFIX: text(''),
  LIPSYNC_S3_ENDPOINT: baseUrl(),
  LIPSYNC_S3_PATH_STYLE: boolean(false),
  LIPSYNC_S3_CHECKSUMS: oneOf(checksumModes, 'WHEN_REQUIRED'),
  LIPSYNC_INPUT_CACHE_BYTES: byteCount(10 * 1024 ** 3),
  AWS_REGION: text('us-east-1'),
  AWS_ACCESS_KEY_ID: text(''),
  AWS_SECRET_ACCESS_KEY: text(''),
  AWS_SESSION_TOKEN: text(''),
} satisfies Settings;

type Values = SettingValues<typeof artifactStoreSettings>;

const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const prefixPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/** Throws `request_invalid` for a bucket or prefix that S3 refuses, and for half of a key. */
export function toArtifactStore(values: Values): ArtifactStoreSettings {
  if (values.LIPSYNC_ARTIFACT_STORE === 'file') return Object.freeze({ kind: 'file' });
  const { LIPSYNC_S3_BUCKET: bucket, AWS_REGION: region } = values;
  if (!bucketPattern.test(bucket))
    throw invalid('LIPSYNC_S3_BUCKET: LIPSYNC_ARTIFACT_STORE=s3 needs the name of a bucket.');
  const path = values.LIPSYNC_S3_PREFIX.replace(/\/+$/, '');
  if (path !== '' && !prefixPattern.test(path))
    throw invalid(
      'LIPSYNC_S3_PREFIX: must be letters, digits, ".", "_", "-" and "/", without a "/" or "." at the start.',
    );
  return Object.freeze({
    kind: 's3',
    s3: Object.freeze({
      bucket,
      prefix: path === '' ? '' : `${path}/`,
      region,
      endpoint: values.LIPSYNC_S3_ENDPOINT === '' ? null : values.LIPSYNC_S3_ENDPOINT,
      pathStyle: values.LIPSYNC_S3_PATH_STYLE,
      checksums: values.LIPSYNC_S3_CHECKSUMS,
      credentials: toCredentials(values),
    }),
    cacheBytes: values.LIPSYNC_INPUT_CACHE_BYTES,
  });
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
