import { access, constants, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { createOptionsSchema, parseRequest, type LipsyncOptions, type LipsyncOptionsInput } from '../contract/index.ts';
import { InputNotFoundError, LipsyncError } from '../errors/index.ts';
import { publicUrl } from '../jobs/job-view.ts';
import { providerDefinitions } from '../providers/registry.ts';

export type OptionsSchema = z.ZodType<LipsyncOptions, LipsyncOptionsInput>;

const builtInSchema: OptionsSchema = createOptionsSchema(providerDefinitions);

/**
 * Request options with defaults filled in, for the built-in providers. Throws `request_invalid` that lists every
 * problem.
 */
export function parseLipsyncOptions(value: unknown): LipsyncOptions {
  return parseInput(builtInSchema, value);
}

/** Parses a value that a program passed. Throws `request_invalid` that lists every problem. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = parseRequest(schema, value);
  if (parsed.type === 'valid') return parsed.value;
  const problems = parsed.problems.map(({ path, message }) => `${path.join('.') || 'The request'} ${message}`);
  throw new LipsyncError('request_invalid', problems.join('; '), { details: { problems } });
}

/** Whether an input is named by a URL instead of a path. The download refuses schemes other than http(s). */
export function isUrl(source: string): boolean {
  return /^[a-z][a-z\d+.-]*:\/\//i.test(source);
}

/** Returns how output names an input: a path as it is, a URL without credentials and query, which may be secrets. */
export function nameOfSource(source: string): string {
  return isUrl(source) ? publicUrl(source) : source;
}

/** Returns the absolute path of a readable input file; `what` names it in the error. Throws `InputNotFoundError`. */
export async function requireReadable(path: string, what: string): Promise<string> {
  const absolute = resolve(path);
  try {
    await access(absolute, constants.R_OK);
    if ((await stat(absolute)).isFile()) return absolute;
  } catch (cause) {
    throw new InputNotFoundError(`The ${what} "${path}" does not exist or cannot be read.`, { cause });
  }
  throw new InputNotFoundError(`The ${what} "${path}" is not a file.`);
}
