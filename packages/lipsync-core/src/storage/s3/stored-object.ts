import { randomUUID } from 'node:crypto';
import type { FileHash } from '../file-hash.ts';
import type { S3Bucket } from './s3-bucket.ts';

/**
 * One version of an artifact. Each is written once, under a key of its own, because writers of one key may leave a
 * mixture on some servers: `<artifact key>/<number>-<uuid>-<sha256>`. The version with the highest number counts; where
 * two writers took the same number, the last in the order of keys.
 */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly modifiedAtMs: number;
  readonly version: number;
}

const namePattern = /\/(?<version>\d{6})-[0-9a-f-]{36}-(?<sha256>[0-9a-f]{64})$/;

/** The versions of an artifact, the one that counts last. */
export async function listVersions(
  bucket: S3Bucket,
  artifactKey: string,
  signal?: AbortSignal,
): Promise<readonly StoredObject[]> {
  const listed = await bucket.list(`${artifactKey}/`, signal);
  return listed.flatMap((object) => {
    const { version, sha256 } = namePattern.exec(object.key)?.groups ?? {};
    return version === undefined || sha256 === undefined ? [] : [{ ...object, sha256, version: Number(version) }];
  });
}

/** Returns the key of the version that follows `versions`. */
export function nextVersionKey(
  artifactKey: string,
  versions: readonly StoredObject[],
  { sha256 }: Pick<FileHash, 'sha256'>,
): string {
  const number = (versions.at(-1)?.version ?? 0) + 1;
  return `${artifactKey}/${String(number).padStart(6, '0')}-${randomUUID()}-${sha256}`;
}
