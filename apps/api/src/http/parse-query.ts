import { z } from 'zod';
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

/** A whole number of a query, in decimal digits. The reference shows it as a number. */
export function wholeNumber({
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
