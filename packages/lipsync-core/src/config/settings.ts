import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import type { Settings, SettingValues } from '../contract/setting-types.ts';
import { LipsyncError } from '../errors/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Folder of `.env` and base of relative paths in settings: the project when one of its commands runs, else the working
 * directory.
 */
function settingsFolder(): string {
  return process.env['LIPSYNC_PROJECT_FOLDER'] ?? process.cwd();
}

/** Makes a path of a setting absolute. */
export function resolveSettingPath(path: string): string {
  return resolve(settingsFolder(), path);
}

/**
 * The process environment over the `.env` file in `folder`, if there is one. Empty variables do not override the file.
 */
export function readEnvironment(folder: string = settingsFolder()): Environment {
  const path = join(folder, '.env');
  const fromFile = existsSync(path) ? parseEnv(readFileSync(path, 'utf8')) : {};
  const fromProcess = Object.entries(process.env).filter(([, value]) => value?.trim() !== '');
  return { ...fromFile, ...Object.fromEntries(fromProcess) };
}

/**
 * The values of `settings` in `environment`; an empty variable counts as unset.
 * Throws `request_invalid` with the name of every invalid setting and the reason.
 */
export function parseSettings<Table extends Settings>(settings: Table, environment: Environment): SettingValues<Table> {
  const schema = z.object(settings);
  const given = Object.fromEntries(Object.keys(settings).map((name) => [name, environment[name]?.trim() || undefined]));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new LipsyncError('request_invalid', `Invalid settings:\n  ${reasons.join('\n  ')}`);
  }
  // `as`: the schema was built from this table, name by name; zod's inferred type does not follow the generic.
  return Object.freeze(parsed.data) as SettingValues<Table>;
}

/**
 * The GPUs that CUDA exposes to this process and its children; null when the variable is not set. The driver reads the
 * process environment itself, so a value in `.env` has no effect; an empty value hides all GPUs.
 */
export function cudaVisibleDevices(): string | null {
  return process.env['CUDA_VISIBLE_DEVICES'] ?? null;
}
