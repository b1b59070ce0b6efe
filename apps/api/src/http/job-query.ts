import type { Request, Response } from 'express';
import { z } from 'zod';
import { jobStatuses } from '@lipsync/core/contract';
import type { JobKind, JobPageQuery } from '@lipsync/core/host';
import { callerOf } from './access.ts';
import { parseQuery } from './parse-query.ts';
import { invalidFields } from './problem.ts';

const dayMs = 24 * 3_600_000;
const metadataPrefix = 'metadata.';

/** A time as in `created_at`, or a UTC day; parsed to its first and its last moment, the latter exclusive. */
const time = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()], {
    error: 'must be a time like 2026-11-21T08:00:00Z or a day like 2026-11-21',
  })
  .transform((text) => {
    const startMs = Date.parse(text);
    return { startMs, endMs: text.includes('T') ? startMs : startMs + dayMs };
  });

const fields = {
  status: z.enum(jobStatuses).optional(),
  user_id: z.string().min(1).max(200).optional(),
  from: time.optional(),
  to: time.optional(),
  limit: z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(1).max(100))
    .default(20),
  cursor: z.string().min(1).max(500).optional(),
};

/**
 * Parses the query of a list of jobs; the list has the jobs that the caller may access. `methods` are those that jobs of
 * this kind may request. Throws `request_invalid` that lists every problem.
 */
export function parseJobQuery<Kind extends JobKind>(
  { request: { query }, response }: { readonly request: Request; readonly response: Response },
  kind: Kind,
  methods: readonly string[],
): JobPageQuery<Kind> {
  const [metadataField, ...otherFields] = Object.keys(query).filter((name) => name.startsWith(metadataPrefix));
  const schema = z.strictObject({
    ...fields,
    ...(methods.length > 0 && { method: z.enum(methods).optional() }),
    ...(metadataField !== undefined && { [metadataField]: z.string().max(1_000) }),
    ...Object.fromEntries(otherFields.map((name) => [name, z.never('cannot be combined with another metadata field')])),
  });
  const { status, user_id: userId, from, to, limit, cursor, ...rest } = parseQuery(schema, query);
  if (from && to && from.startMs >= to.endMs)
    throw invalidFields('query', [{ field: 'to', message: 'must be later than from' }]);
  const { owner, isAdmin } = callerOf(response);
  const given: { readonly [name: string]: unknown } = rest;
  const { method } = given;
  const text = metadataField === undefined ? undefined : given[metadataField];
  return {
    kind,
    limit,
    ...(cursor !== undefined && { cursor }),
    ...(status && { status }),
    // No key has an empty name.
    ...(!isAdmin && { owner: owner ?? '' }),
    ...(userId !== undefined && { userId }),
    ...(typeof method === 'string' && { method }),
    ...(from && { fromMs: from.startMs }),
    ...(to && { toMs: to.endMs }),
    ...(typeof text === 'string' &&
      metadataField !== undefined && { metadata: { key: metadataField.slice(metadataPrefix.length), text } }),
  };
}
