import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCodes } from '@lipsync/core/host';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const readPage = (name: string): string => readFileSync(join(root, 'docs', `${name}.md`), 'utf8');

/** What reads and describes inputs. Warnings of takes come from `providers/` and `quality/`. */
const inputSources = ['media/**/*.ts', 'audio/**/*.ts', 'face/**/*.ts', 'jobs/*input*.ts', 'jobs/*-warnings.ts'];

/** Warnings in the sources that read inputs: codes beside a message or its beginning. */
function inputWarnings(): ReadonlySet<string> {
  const cwd = join(root, 'packages', 'lipsync-core', 'src');
  const files = globSync(inputSources, { cwd, exclude: (path) => path.endsWith('.test.ts') });
  const codes = files.flatMap((file) =>
    [...readFileSync(join(cwd, file), 'utf8').matchAll(/\bcode: '(\w+)',\s*(?:message|fault):/g)].map(
      ([, code = '']) => code,
    ),
  );
  const errors: ReadonlySet<string> = new Set(errorCodes);
  return new Set(codes.filter((code) => !errors.has(code)));
}

const rows = [...readPage('inputs').matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]*)\|$/gm)];

it('docs/inputs.md lists exactly the warnings of the sources that read inputs.', () => {
  const listed = rows.map(([, code = '']) => code);
  expect(listed).toHaveLength(new Set(listed).size);
  expect(new Set(listed)).toEqual(inputWarnings());
});

it('docs/errors.md lists every warning of docs/inputs.md.', () => {
  const listed = [...readPage('errors').matchAll(/^\| `(\w+)` \| [^|]+ \|$/gm)].map(([, code]) => code);
  expect(listed).toEqual(expect.arrayContaining(rows.map(([, code]) => code)));
});
