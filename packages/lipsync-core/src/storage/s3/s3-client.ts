import type * as S3Sdk from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Settings } from '../artifact-store-settings.ts';

const agent = Object.freeze({ keepAlive: true, maxSockets: 64 });

/** Opens a client. The caller repeats requests, within limits that the SDK does not have. */
export function createS3Client(sdk: typeof S3Sdk, settings: S3Settings): S3Client {
  const { region, endpoint, pathStyle, checksums, credentials } = settings;
  return new sdk.S3Client({
    region,
    ...(endpoint !== null && { endpoint }),
    forcePathStyle: pathStyle,
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
    // A copy, because the SDK adds to it.
    ...(credentials && { credentials: { ...credentials } }),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 5_000, httpAgent: agent, httpsAgent: agent },
  });
}
