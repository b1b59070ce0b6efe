import {
  LipsyncError,
  StorageError,
  storeErrorCodes,
  toLipsyncError,
  type StoreErrorCode,
} from '../../errors/index.ts';
import { errnoCode } from '../../errors/system-error.ts';

/** Error names and statuses of S3, MinIO and R2, of the SDK, and system errors of connections. */
const namesByCode: Readonly<Record<StoreErrorCode, string>> = {
  store_unavailable: `SlowDown SlowDownRead SlowDownWrite ServiceUnavailable InternalError ServerBusy Throttling
    RequestLimitExceeded TooManyRequests OperationAborted XMinioServerNotInitialized
    ECONNREFUSED ECONNRESET ENOTFOUND EAI_AGAIN EPIPE EHOSTUNREACH ENETUNREACH ERR_STREAM_PREMATURE_CLOSE
    429 500 502 503`,
  store_timeout: 'TimeoutError RequestTimeout ETIMEDOUT ESOCKETTIMEDOUT 408 504',
  store_corrupted: 'BadDigest InvalidDigest IncompleteBody XAmzContentSHA256Mismatch XAmzContentChecksumMismatch',
  store_credentials_rejected: `ExpiredToken ExpiredTokenException InvalidAccessKeyId InvalidToken SignatureDoesNotMatch
    TokenRefreshRequired AccessDenied AccountProblem AllAccessDisabled RequestTimeTooSkewed CredentialsProviderError
    Unauthorized Forbidden 401 403`,
  store_full: 'QuotaExceeded InsufficientStorage XMinioStorageFull XMinioAdminBucketQuotaExceeded 507',
};

const codesByName: ReadonlyMap<string, StoreErrorCode> = new Map(
  storeErrorCodes.flatMap((code) => namesByCode[code].split(/\s+/).map((name) => [name, code] as const)),
);

const explanations: Readonly<Record<StoreErrorCode, string>> = {
  store_unavailable: 'does not answer or refuses load. Check the server and LIPSYNC_S3_ENDPOINT',
  store_timeout: 'is too slow. Check the server and the network',
  store_corrupted: 'returned or kept other bytes than were stored. Check the server and what is in front of it',
  store_credentials_rejected:
    'rejected the credentials: they are missing, expired or lack a permission, ' +
    'or the clock of this machine is wrong. Check both',
  store_full: 'is full, or the quota of the bucket is exhausted. Free space or raise the quota',
};

/** Errors that another try may not have. */
const transientCodes: ReadonlySet<string> = new Set(['store_unavailable', 'store_timeout', 'store_corrupted']);

/** A failure of the object store, as a `StorageError` whose `folder` is the URL of the bucket. */
export function storeError(code: StoreErrorCode, url: string, cause?: unknown): StorageError {
  return new StorageError(code, url, `The object store ${url} ${explanations[code]}.`, cause);
}

/** Whether a request to the object store may succeed when it is repeated. */
export function isTransient(error: unknown): boolean {
  return error instanceof StorageError && (transientCodes.has(error.code) || isClockError(error.cause));
}

/** The SDK corrects its clock by the answer, so that the next request succeeds. */
function isClockError(error: unknown): boolean {
  return error instanceof Error && error.name === 'RequestTimeTooSkewed';
}

/** Converts an error of the SDK. Errors of this service stay as they are. */
export function toStoreError(error: unknown, url: string): LipsyncError {
  if (LipsyncError.isInstance(error)) return error;
  const status = httpStatusOf(error);
  const name = error instanceof Error ? error.name : '';
  // First the system error: the SDK calls a reset connection `TimeoutError`.
  const code = [errnoCode(error), name, `${status ?? ''}`].map((key) => codesByName.get(key ?? '')).find(Boolean);
  if (code) return storeError(code, url, error);
  // Not an answer of a server.
  if (status === undefined) return toLipsyncError(error);
  // A wrong bucket, region or endpoint. `name` is a code of S3, without content of the request.
  const message = `The object store ${url} refuses requests (${name}, ${status}). Check LIPSYNC_S3_BUCKET, AWS_REGION and LIPSYNC_S3_ENDPOINT.`;
  return new StorageError('storage_unwritable', url, message, error);
}

/** Whether the answer is that the object does not exist. A missing bucket is not among them. */
export function isMissing(error: unknown): boolean {
  const name = error instanceof Error ? error.name : '';
  return name === 'NoSuchKey' || name === 'NotFound' || name === 'NoSuchUpload';
}

function httpStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}
