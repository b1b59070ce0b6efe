import type { z } from 'zod';
import { lipsyncOptionsSchema, type LipsyncOptions } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';

/** The options in `value` with defaults filled in. Throws `request_invalid` that names every problem. */
export function parseLipsyncOptions(value: unknown): LipsyncOptions {
  return parseInput(lipsyncOptionsSchema, value);
}

/** What `schema` makes of a value that a program handed in. Throws `request_invalid` that names every problem. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'request'}: ${issue.message}`);
  throw new LipsyncError('request_invalid', problems.join('; '), { details: { problems } });
}
