import type { z } from 'zod';

/** A problem with one field of a request, in TypeScript spelling. */
export interface RequestProblem {
  /** Names from the outside in; empty for the request itself. */
  readonly path: readonly string[];
  /** Follows the name of the field in a sentence: "must be at least 0". */
  readonly message: string;
}

export type ParsedRequest<Value> =
  | { readonly type: 'valid'; readonly value: Value }
  | { readonly type: 'invalid'; readonly problems: readonly RequestProblem[] };

/** Parses untrusted input and reports every problem at once, in our words instead of the validator's. Pure. */
export function parseRequest<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): ParsedRequest<z.output<Schema>> {
  const parsed = schema.safeParse(value, { error: describeIssue });
  if (parsed.success) return { type: 'valid', value: parsed.data };
  return { type: 'invalid', problems: parsed.error.issues.flatMap(toProblems) };
}

/** Maximum number of unknown fields of one object that are listed: a caller may send hundreds of thousands. */
const maxUnknownFields = 100;

/** One problem per field: the validator reports all unknown fields of an object in one issue. */
function toProblems(issue: z.core.$ZodIssue): readonly RequestProblem[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }];
  return issue.keys.slice(0, maxUnknownFields).map((key) => ({ path: [...path, key], message: issue.message }));
}

/** Messages of schemas themselves take precedence. */
function describeIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${typeNames.get(issue.expected) ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.join(', ')}`;
    case 'too_small':
      if (issue.origin === 'string') return issue.minimum === 1 ? 'must not be empty' : tooShort(issue.minimum);
      return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'string') return `must be at most ${issue.maximum} characters long`;
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'unrecognized_keys':
      return 'is not a known field';
    case 'invalid_key':
      return 'has a name that is not allowed';
    default:
      return 'is not valid';
  }
}

function tooShort(minimum: number | bigint): string {
  return `must be at least ${minimum} characters long`;
}

const typeNames: ReadonlyMap<string, string> = new Map([
  ['number', 'a number'],
  ['int', 'a whole number'],
  ['string', 'text'],
  ['boolean', 'true or false'],
  ['object', 'an object'],
  ['record', 'an object'],
]);
