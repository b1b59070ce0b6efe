import type { z } from 'zod';
import { parseRequest } from '@lipsync/core/contract';
import { invalidFields } from './problem.ts';

/** Parses the query of a URL. Throws `request_invalid` that lists every problem. */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, query: unknown): z.output<Schema> {
  const parsed = parseRequest(schema, query);
  if (parsed.type === 'valid') return parsed.value;
  throw invalidFields(
    'query',
    parsed.problems.map(({ path, message }) => ({ field: path.join('.'), message })),
  );
}
