import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { configFromEnvironment } from '@lipsync/core/config';
import { expect, it, onTestFinished } from 'vitest';

const projectDir = dirname(import.meta.dirname);

/** The TypeScript examples in a file. */
async function examples(path: string): Promise<string[]> {
  const text = await readFile(join(projectDir, path), 'utf8');
  return [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '');
}

it.each([
  ['README.md', '.'],
  ['packages/lipsync-client/README.md', 'apps/api'],
])(
  'The TypeScript examples in %s compile.',
  async (path, user) => {
    const codes = await examples(path);
    expect(codes.length).toBeGreaterThan(1);
    // Within a package that has the imports, so that they resolve; in node_modules, so that no check reads it.
    const folder = await mkdtemp(join(projectDir, user, 'node_modules', '.readme-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await Promise.all(codes.map((code, index) => writeFile(join(folder, `example-${index}.ts`), code)));
    const configuration = {
      extends: join(projectDir, 'tsconfig.base.json'),
      compilerOptions: { noEmit: true, types: ['node'], typeRoots: [join(projectDir, 'node_modules', '@types')] },
      include: ['*.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(configuration));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    const tsc = join(projectDir, 'node_modules', '.bin', 'tsc');
    await expect(promisify(execFile)(tsc, ['-p', folder])).resolves.toBeDefined();
  },
  60_000,
);

it('The README lists every provider in the order of auto, with the terms of commercial use.', async () => {
  const text = await readFile(join(projectDir, 'README.md'), 'utf8');
  const table = text.slice(text.indexOf('| provider | what'));
  const rows = [...table.matchAll(/^\| `(\w+)` \|(?:[^|]*\|){2} (.*) \|$/gm)].map(([, id, terms]) => ({ id, terms }));
  const providers = configFromEnvironment({}).providers.map(({ definition: { id, license } }) => ({
    id,
    terms: expect.stringContaining(license),
  }));
  expect(rows).toEqual(providers);
});

it('Every folder and file in the tables of ARCHITECTURE.md exists.', async () => {
  const text = await readFile(join(projectDir, 'ARCHITECTURE.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  const named = rows.flatMap((row) => [...row.matchAll(/`([\w-]+\/[\w/.-]*)`/g)].map(([, path]) => path ?? ''));
  const sources = ['packages/lipsync-core/src', 'apps/api/src'];
  const roots = [projectDir, ...sources.map((folder) => join(projectDir, folder))];
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((path) => !roots.some((root) => existsSync(join(root, path))))).toEqual([]);
});
