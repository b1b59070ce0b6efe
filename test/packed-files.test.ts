import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';

interface Manifest {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, string>>;
  readonly publishConfig: {
    readonly bin: Readonly<Record<string, string>>;
    readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  };
}

const projectDir = dirname(import.meta.dirname);
const coreDir = join(projectDir, 'packages', 'lipsync-core');
const clientDir = join(projectDir, 'packages', 'lipsync-client');
const { files, exports, publishConfig }: Manifest = JSON.parse(readFileSync(join(coreDir, 'package.json'), 'utf8'));

/** Source path of a built file. */
function sourceOf(builtPath: string): string {
  return builtPath.replace('./dist/', './src/').replace(/(\.d\.ts|\.js)$/, '.ts');
}

describe('package @lipsync/core', () => {
  it('The published core has the exports of the workspace package, except those for tests, from the same sources.', () => {
    const { './testing': forTests, ...offered } = exports;
    expect(forTests).toBeDefined();
    const built = Object.entries(publishConfig.exports);
    expect(Object.fromEntries(built.map(([name, entry]) => [name, sourceOf(entry.default)]))).toEqual(offered);
    expect(Object.fromEntries(built.map(([name, entry]) => [name, sourceOf(entry.types)]))).toEqual(offered);
  });

  it('The command of the published core starts with a Node shebang.', () => {
    const source = readFileSync(join(coreDir, sourceOf(publishConfig.bin.lipsync ?? '')), 'utf8');
    expect(source).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  it('The published core contains its assets and built files.', () => {
    expect(files.toSorted()).toEqual(['assets', 'dist']);
    expect(existsSync(join(coreDir, 'assets', 'mouth-model.json'))).toBe(true);
  });
});

describe('package @lipsync/client', () => {
  it('The published client compiles in a project without the core, and checks requests there.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-client-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const packages = join(folder, 'node_modules');
    const built = join(packages, '@lipsync', 'client', 'dist');
    await mkdir(built, { recursive: true });
    const run = promisify(execFile);
    const tsc = join(projectDir, 'node_modules', '.bin', 'tsc');
    await run(tsc, ['-p', join(clientDir, 'tsconfig.build.json'), '--outDir', built]);
    await run(tsc, ['-p', join(clientDir, 'tsconfig.contract.json'), '--outDir', join(built, 'contract')]);
    await run(process.execPath, [join(clientDir, 'use-own-contract.mjs'), built]);
    const manifest = JSON.parse(await readFile(join(clientDir, 'package.json'), 'utf8'));
    await writeFile(
      join(packages, '@lipsync', 'client', 'package.json'),
      JSON.stringify({ type: 'module', exports: manifest.publishConfig.exports }),
    );
    for (const name of Object.keys(manifest.dependencies))
      await symlink(join(clientDir, 'node_modules', name), join(packages, name));
    await writeFile(
      join(folder, 'use.mts'),
      `import { LipsyncClient, type JobView } from '@lipsync/client';
      import { verifyWebhook } from '@lipsync/client/webhooks';
      const client = new LipsyncClient({ baseUrl: 'http://127.0.0.1:3000' });
      const job: JobView = await client.create({ video: new Blob([]), audio: 'https://example.org/a.wav', max_cost_usd: 2 });
      export const status: 'queued' | 'processing' | 'completed' | 'failed' | 'canceled' = job.status;
      // @ts-expect-error -- not a mode
      await client.create({ video: '', audio: '', sync_mode: 'other' });
      export const success = (event: ReturnType<typeof verifyWebhook>): number | undefined =>
        event.type === 'batch.completed' ? event.data.summary.success : undefined;`,
    );
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--types', ''];
    await expect(run(tsc, [...options, join(folder, 'use.mts')], { cwd: folder })).resolves.toBeDefined();
    const files = await readdir(built, { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      files.filter((file) => file.isFile()).map(({ parentPath, name }) => readFile(join(parentPath, name), 'utf8')),
    );
    expect(texts.filter((text) => text.includes('@lipsync/core'))).toEqual([]);
  }, 120_000);
});
