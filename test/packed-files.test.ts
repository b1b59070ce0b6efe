import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Manifest {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, string>>;
  readonly publishConfig: {
    readonly bin: Readonly<Record<string, string>>;
    readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  };
}

const coreDir = join(dirname(import.meta.dirname), 'packages', 'lipsync-core');
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
