import type { Request, Response } from 'express';
import { z } from 'zod';
import { jobFields, jobStatuses } from '@lipsync/core/contract';
import type { JobKind, JobPageQuery } from '@lipsync/core/host';
import { callerOf, scopeOf } from './access.ts';
import { pageFields, parseQuery } from './parse-query.ts';
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
  status: z.enum(jobStatuses).optional().describe('Only jobs with this status.'),
  user_id: jobFields.userId.describe('Only jobs with this `user_id`.'),
  from: time.optional().describe('Only jobs that were created at this time or later; a UTC day counts from its start.'),
  to: time.optional().describe('Only jobs that were created before this time; a UTC day counts to its end.'),
  ...pageFields('jobs'),
};

/** Conditions on jobs of a kind that has methods. */
function lipsyncFields(methods: readonly string[]) {
  if (methods.length === 0) return {};
  return {
    method: z.enum(methods).optional().describe('Only jobs with this `method`.'),
    batch: z.string().min(1).max(64).optional().describe('Only jobs of the batch with this id.'),
  };
}

/** The query of a list of jobs, for the reference. */
export function documentedJobQuery(methods: readonly string[]): z.ZodObject {
  return z.strictObject({
    ...fields,
    ...lipsyncFields(methods),
    [`${metadataPrefix}KEY`]: z
      .string()
      .max(1_000)
      .optional()
      .describe(
        'Only jobs whose `metadata` has this text, number or boolean under KEY, which you replace by a name of yours.',
      ),
  });
}

/**
 * Parses the query of a list of jobs; the list has the jobs that the caller may access. `methods` are those that jobs of
 * this kind may request. Throws `request_invalid` that lists every problem.
 */
export function parseJobQuery<Kind extends JobKind>(
  { request: { query }, response }: { readonly request: Pick<Request, 'query'>; readonly response: Response },
  kind: Kind,
  methods: readonly string[],
): JobPageQuery<Kind> {
  const [metadataField, ...otherFields] = Object.keys(query).filter((name) => name.startsWith(metadataPrefix));
  const schema = z.strictObject({
    ...fields,
    ...lipsyncFields(methods),
    ...(metadataField !== undefined && { [metadataField]: z.string().max(1_000) }),
    ...Object.fromEntries(otherFields.map((name) => [name, z.never('cannot be combined with another metadata field')])),
  });
  const { status, user_id: userId, from, to, limit, cursor, ...rest } = parseQuery(schema, query);
  if (from && to && from.startMs >= to.endMs)
    throw invalidFields('query', [{ field: 'to', message: 'must be later than from' }]);
  const given: { readonly [name: string]: unknown } = rest;
  const { method, batch } = given;
  const text = metadataField === undefined ? undefined : given[metadataField];
  return {
    kind,
    limit,
    ...(cursor !== undefined && { cursor }),
    ...(status && { status }),
    ...scopeOf(callerOf(response)),
    ...(userId !== undefined && { userId }),
    ...(typeof method === 'string' && { method }),
    ...(typeof batch === 'string' && { batchId: batch }),
    ...(from && { fromMs: from.startMs }),
    ...(to && { toMs: to.endMs }),
    ...(typeof text === 'string' &&
      metadataField !== undefined && { metadata: { key: metadataField.slice(metadataPrefix.length), text } }),
  };
}
