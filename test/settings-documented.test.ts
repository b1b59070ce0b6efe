import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { listSettings, parseSettings, type Settings } from '@lipsync/core/config';
import { expect, it } from 'vitest';
import { apiSettings } from '../apps/api/src/config.ts';
import { workerSettings } from '../apps/worker/src/config.ts';

const projectDir = join(import.meta.dirname, '..');
const settings: Settings = { ...listSettings(), ...apiSettings, ...workerSettings };
const example = parseEnv(readFileSync(join(projectDir, '.env.example'), 'utf8'));
const documented = documentedSettings(readFileSync(join(projectDir, 'docs', 'configuration.md'), 'utf8'));

interface DocumentedSetting {
  readonly name: string;
  readonly unit: string;
  readonly fallback: string;
  readonly meaning: string;
}

function documentedSettings(page: string): DocumentedSetting[] {
  return [...page.matchAll(/^\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) ?\| (.*) \|$/gm)].map(
    ([, name = '', unit = '', fallback = '', meaning = '']) => ({
      name,
      unit,
      fallback: fallback.replaceAll('`', ''),
      meaning,
    }),
  );
}

/** The text files at or below a path of the project. */
function listFiles(path: string): string[] {
  const full = join(projectDir, path);
  if (!statSync(full).isDirectory()) return [full];
  return readdirSync(full, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:md|ya?ml|tpl|txt|json)$/.test(name))
    .map((name) => join(full, name));
}

const sorted = (names: readonly string[]): string[] => names.toSorted();

it('docs/configuration.md lists exactly the settings that the code reads.', () => {
  expect(sorted(documented.map(({ name }) => name))).toEqual(sorted(Object.keys(settings)));
});

it('.env.example lists exactly the settings that the code reads.', () => {
  expect(sorted(Object.keys(example))).toEqual(sorted(Object.keys(settings)));
});

it('docs/configuration.md and .env.example have the same defaults.', () => {
  expect(Object.fromEntries(documented.map(({ name, fallback }) => [name, fallback]))).toEqual(example);
});

it.each(['docs', 'deploy', 'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docker-compose.yml', 'Dockerfile'])(
  '%s names only settings that the code reads.',
  (path) => {
    const names = listFiles(path).flatMap(
      (file) =>
        readFileSync(file, 'utf8').match(/\b(?:LIPSYNC|WORKER|HEYGEN|WAV2LIP|METRICS|QUEUE)_[A-Z0-9_]*[A-Z0-9]\b/g) ??
        [],
    );
    const isOther = (name: string): boolean => /^LIPSYNC_(?:TEST|SOAK)_|^LIPSYNC_NO_INSTALL$/.test(name);
    expect(new Set(names.filter((name) => !(name in settings) && !isOther(name)))).toEqual(new Set());
  },
);

it('docs/configuration.md has a unit and a meaning for every setting.', () => {
  expect(documented.filter(({ unit, meaning }) => unit.trim() === '' || meaning.trim() === '')).toEqual([]);
});

it.each(Object.keys(settings).filter((name) => name !== 'REDIS_URL'))(
  'The documented default of %s is the default in the code.',
  (name) => {
    const setting = settings[name];
    if (setting === undefined) throw new Error(`${name} is not a setting.`);
    expect(parseSettings({ [name]: setting }, { [name]: example[name] })).toEqual(
      parseSettings({ [name]: setting }, {}),
    );
  },
);
