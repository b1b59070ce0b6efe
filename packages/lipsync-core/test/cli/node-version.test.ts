import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const sourceFolder = join(import.meta.dirname, '..', '..', 'src');

interface Outcome {
  readonly exitCode: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs this Node with arguments, under the version number of an older one. */
function runAsNode20(...args: readonly string[]): Promise<Outcome> {
  const olderVersion =
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })';
  const preload = `data:text/javascript,${encodeURIComponent(olderVersion)}`;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', preload, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ exitCode: error?.code ?? 0, stdout, stderr }),
    );
  });
}

it('On Node 20 the command line prints one line that names the required version.', async () => {
  const { exitCode, stdout, stderr } = await runAsNode20(join(sourceFolder, 'cli', 'main.ts'), '--version');
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toMatch(/^@lipsync\/core needs Node 24 or later, and this is Node 20\.20\.2 \(.*\n$/);
});

it.each(['index.ts', 'host.ts'])('On Node 20 an import of %s fails with the required version.', async (entry) => {
  const url = pathToFileURL(join(sourceFolder, entry)).href;
  const { exitCode, stderr } = await runAsNode20('--input-type=module', '-e', `import ${JSON.stringify(url)}`);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('needs Node 24 or later');
});

it('No module imports by name what a built-in module of Node 20 lacks, so that the version check can run.', async () => {
  const files = await readdir(sourceFolder, { recursive: true });
  const sources = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  const texts = await Promise.all(sources.map((file) => readFile(join(sourceFolder, file), 'utf8')));
  expect(texts.length).toBeGreaterThan(100);
  const missing =
    /^import (?!type)[^;]*(\b(findPackageJSON|registerHooks|globSync|styleText)\b[^;]*'node:|'node:sqlite')/m;
  expect(sources.filter((_, index) => missing.test(texts[index] ?? ''))).toEqual([]);
});
