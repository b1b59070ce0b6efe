import type { z } from 'zod';
import { lipsyncOptionsSchema, toCamelCase, toSnakeCase, type LipsyncOptions } from '@lipsync/core/contract';
import type { FieldProblem } from './problem.ts';

export type ParsedOptions =
  | { readonly options: LipsyncOptions; readonly problems: readonly [] }
  | { readonly options: undefined; readonly problems: readonly FieldProblem[] };

/** The options that fields in HTTP's spelling stand for, or everything that is wrong with them. */
export function parseOptions(fields: ReadonlyMap<string, unknown>): ParsedOptions {
  const entries = [...fields];
  const misspelt = entries.filter(([name]) => !isSnakeCase(name)).map(([name]) => unknownField(name));
  const given = entries.filter(([name]) => isSnakeCase(name)).map(([name, value]) => [toCamelCase(name), value]);
  const parsed = lipsyncOptionsSchema.safeParse(Object.fromEntries(given));
  if (parsed.success && misspelt.length === 0) return { options: parsed.data, problems: [] };
  return { options: undefined, problems: [...misspelt, ...toFieldProblems(parsed.error)] };
}

/** What a schema found wrong with a flat object, in HTTP's spelling. */
export function toFieldProblems(error: z.ZodError | undefined): FieldProblem[] {
  return (error?.issues ?? []).flatMap((issue) => {
    if (issue.code === 'unrecognized_keys' && issue.path.length === 0)
      return issue.keys.map((key) => unknownField(toSnakeCase(key)));
    const [first = '', ...rest] = issue.path.map(String);
    return [{ field: [toSnakeCase(first), ...rest].join('.'), message: issue.message }];
  });
}

/** Names that survive the way to TypeScript's spelling and back; `syncMode` or `sync__mode` would not. */
function isSnakeCase(name: string): boolean {
  return !/[A-Z]/.test(name) && toSnakeCase(toCamelCase(name)) === name;
}

function unknownField(field: string): FieldProblem {
  return { field, message: 'is not a known field' };
}
