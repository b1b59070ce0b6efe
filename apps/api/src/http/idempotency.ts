import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import type { InputReference, JobKind, JobRecord } from '@lipsync/core/host';
import { createRequestKey, type RequestClaim, type RequestKey } from '@lipsync/queue';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf } from './access.ts';
import { HttpError } from './problem.ts';

/** What a request asks for. Equal content under one key is the same request. */
export interface RequestContent {
  readonly kind: JobKind;
  readonly options: object;
  readonly inputs: Readonly<Record<string, InputReference | undefined>>;
}

/** The `Idempotency-Key` of a request that creates a job. */
export interface IdempotentRequest {
  claim(content: RequestContent): RequestClaim;
  /** The job that an equal request created. Throws `idempotency_mismatch` and `idempotency_in_progress`. */
  findRepeated(content: RequestContent): Promise<JobRecord | undefined>;
}

type Dependencies = Pick<ApiDependencies, 'jobs' | 'requestKeys'>;

/**
 * Runs `create` with the key of the request; undefined without one. The key of a form is held meanwhile, because its
 * files may take minutes. Throws `request_invalid` (400) for a key of another format, and `idempotency_in_progress`.
 */
export async function withIdempotencyKey<Result>(
  { jobs, requestKeys }: Dependencies,
  { request, response }: { readonly request: Request; readonly response: Response },
  create: (idempotent: IdempotentRequest | undefined) => Promise<Result>,
): Promise<Result> {
  const key = readKey(request.get('Idempotency-Key'), callerOf(response).owner);
  if (!key) return create(undefined);
  const idempotent = toIdempotentRequest(key, jobs);
  if (!request.is('multipart/form-data')) return create(idempotent);
  const held = await requestKeys.hold(key);
  try {
    return await create(idempotent);
  } finally {
    await held.release();
  }
}

/** A key is a string as in Structured Fields (RFC 9651), with or without its quotes, and without escapes. */
const keyPattern = /^"([\x20!\x23-\x5b\x5d-\x7e]{1,255})"$|^([!\x23-\x5b\x5d-\x7e]{1,255})$/;

/** Returns the key of a caller. Throws `request_invalid` (400) for another format. */
export function readKey(text: string | undefined, owner: string | null): RequestKey | undefined {
  if (text === undefined) return undefined;
  const [, quoted, plain] = keyPattern.exec(text) ?? [];
  const key = quoted ?? plain;
  if (key !== undefined) return createRequestKey(owner, key);
  throw new HttpError(
    'request_invalid',
    'The Idempotency-Key must be 1 to 255 visible ASCII characters without quotes or backslashes, such as a UUID.',
    { httpStatus: 400 },
  );
}

/** Returns the request with this key. */
export function toIdempotentRequest(key: RequestKey, jobs: Dependencies['jobs']): IdempotentRequest {
  const claim = (content: RequestContent): RequestClaim => ({ ...key, fingerprint: fingerprintOf(content) });
  return { claim, findRepeated: (content) => jobs.findRepeated(claim(content)) };
}

/** Digest of the content. Names of files do not count, and neither does the order of fields. */
function fingerprintOf({ kind, options, inputs }: RequestContent): string {
  const sources = Object.entries(inputs).map(([field, input]) => [field, input && locationOf(input)]);
  const content = { kind, options, inputs: Object.fromEntries(sources) };
  return createHash('sha256').update(JSON.stringify(content, sortKeys)).digest('hex');
}

function locationOf(input: InputReference): string {
  switch (input.kind) {
    case 'artifact':
      return input.key;
    case 'url':
      return input.url;
    case 'file':
      return input.path;
  }
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
