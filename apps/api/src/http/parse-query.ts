import { z } from 'zod';
import { parseRequest } from '@lipsync/core/contract';
import { invalidFields } from './problem.ts';

/** Parses the query of a URL, or other parameters of a request. Throws `request_invalid` that lists every problem. */
export function parseQuery<Schema extends z.ZodType>(
  schema: Schema,
  query: unknown,
  what: 'query' | 'request' = 'query',
): z.output<Schema> {
  const parsed = parseRequest(schema, query);
  if (parsed.type === 'valid') return parsed.value;
  throw invalidFields(
    what,
    parsed.problems.map(({ path, message }) => ({ field: path.join('.'), message })),
  );
}

/** A whole number of a query, in decimal digits. The reference shows it as a number. */
function wholeNumber({
  minimum,
  maximum,
  fallback,
}: {
  readonly minimum: number;
  readonly maximum: number;
  readonly fallback: number;
}) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(minimum).max(maximum))
    .default(fallback)
    .meta({
      override: ({ jsonSchema }) => {
        delete jsonSchema.pattern;
        Object.assign(jsonSchema, { type: 'integer', minimum, maximum, default: fallback });
      },
    });
}

/** The fields of the query of every paged list. `noun` names the entries in the reference. */
export function pageFields(noun: string, { maximum, fallback } = { maximum: 100, fallback: 20 }) {
  return {
    limit: wholeNumber({ minimum: 1, maximum, fallback }).describe(`Maximum number of ${noun} on the page.`),
    cursor: z.string().min(1).max(500).optional().describe('The `next_cursor` of the previous page.'),
  };
}
