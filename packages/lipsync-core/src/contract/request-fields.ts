import type { z } from 'zod';
import { renameKeys, toCamelCase, toSnakeCase } from './case.ts';
import { parseRequest, type RequestProblem } from './request-problems.ts';

/** A problem with one field of a request, in HTTP spelling. */
export interface FieldProblem {
  readonly field: string;
  /** Follows the name of the field in a sentence, or is a sentence of its own. */
  readonly message: string;
}

export type ParsedOptions<Options> =
  | { readonly options: Options; readonly problems: readonly [] }
  | { readonly options: undefined; readonly problems: readonly FieldProblem[] };

/** Parses request fields in HTTP spelling into options, or reports everything that is wrong with them. */
export function parseOptions<Options>(
  fields: ReadonlyMap<string, unknown>,
  schema: z.ZodType<Options>,
): ParsedOptions<Options> {
  const entries = [...fields];
  const notSnakeCase = [
    ...entries.map(([name]) => name).filter((name) => !isSnakeCase(name)),
    ...notSnakeCaseProviderOptions(fields.get(providerOptionsField)),
    ...notSnakeCaseNames(consentField, fields.get(consentField)),
  ].map(unknownField);
  const given = entries
    .filter(([name]) => isSnakeCase(name))
    .map(([name, value]) => [toCamelCase(name), readInner(name, value)]);
  const parsed = parseRequest(schema, Object.fromEntries(given));
  if (parsed.type === 'valid' && notSnakeCase.length === 0) return { options: parsed.value, problems: [] };
  const problems = parsed.type === 'invalid' ? parsed.problems : [];
  return { options: undefined, problems: [...notSnakeCase, ...problems.map(toFieldProblem)] };
}

/** The same problem under the name that the caller used. */
export function toFieldProblem({ path, message }: RequestProblem): FieldProblem {
  const [first = '', ...rest] = path;
  const field = toSnakeCase(first);
  // The names below are the caller's own, except in the two fields whose inner names are fields too.
  const isNamed = field === providerOptionsField || field === consentField;
  return { field: [field, ...(isNamed ? rest.map(toSnakeCase) : rest)].join('.'), message };
}

/** Its inner names are fields too: `provider_options.<provider>.<option>`. */
const providerOptionsField = 'provider_options';
/** So are those of `consent.<name>`. */
const consentField = 'consent';

function notSnakeCaseProviderOptions(value: unknown): readonly string[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([id, options]) => notSnakeCaseNames(`${providerOptionsField}.${id}`, options));
}

function notSnakeCaseNames(field: string, value: unknown): readonly string[] {
  return Object.keys(isObject(value) ? value : {})
    .filter((name) => !isSnakeCase(name))
    .map((name) => `${field}.${name}`);
}

function readInner(field: string, value: unknown): unknown {
  if (field === providerOptionsField) return readProviderOptions(value);
  return field === consentField && isObject(value) ? readOptions(value) : value;
}

/** Values of another type stay as they are, for the schema to reject. Names that are already reported are left out. */
function readProviderOptions(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([id, options]) => [id, isObject(options) ? readOptions(options) : options]),
  );
}

function readOptions(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const snakeCase = Object.entries(options).filter(([name]) => isSnakeCase(name));
  return renameKeys(Object.fromEntries(snakeCase), toCamelCase);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a name survives the conversion to TypeScript spelling and back; `syncMode` and `sync__mode` do not. */
function isSnakeCase(name: string): boolean {
  return !/[A-Z]/.test(name) && toSnakeCase(toCamelCase(name)) === name;
}

function unknownField(field: string): FieldProblem {
  return { field, message: 'is not a known field' };
}
