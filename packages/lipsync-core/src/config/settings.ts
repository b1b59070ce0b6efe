import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings as a table: the variable's name and how its text becomes a value. Documentation is compared with these tables. */
export type Settings = Readonly<Record<string, z.ZodType<unknown, string | undefined>>>;

/**
 * Where `.env` is looked for and relative paths in settings count from: the project, whose commands name it when they are
 * called in another folder, else the working directory.
 */
export function settingsFolder(): string {
  return process.env['LIPSYNC_PROJECT_FOLDER'] ?? process.cwd();
}

/** The process environment over the `.env` file in `folder`, where there is one; a variable that is set, and not to nothing, wins over the file. */
export function readEnvironment(folder: string = settingsFolder()): Environment {
  const path = join(folder, '.env');
  const fromFile = existsSync(path) ? parseEnv(readFileSync(path, 'utf8')) : {};
  const fromProcess = Object.entries(process.env).filter(([, value]) => value?.trim() !== '');
  return { ...fromFile, ...Object.fromEntries(fromProcess) };
}

/**
 * The values of `settings` in `environment`; an empty variable counts as not set.
 * Throws `request_invalid` that names every setting that cannot be understood, and why.
 */
export function parseSettings<Table extends Settings>(
  settings: Table,
  environment: Environment,
): { readonly [Name in keyof Table]: z.output<Table[Name]> } {
  const schema = z.object(settings);
  const given = Object.fromEntries(Object.keys(settings).map((name) => [name, environment[name]?.trim() || undefined]));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new LipsyncError('request_invalid', `Settings that cannot be used:\n  ${reasons.join('\n  ')}`);
  }
  // The schema was built from this very table, name by name; zod's inferred type does not follow the generic.
  return Object.freeze(parsed.data) as { readonly [Name in keyof Table]: z.output<Table[Name]> };
}
