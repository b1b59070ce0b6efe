import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNotices } from '../scripts/check/third-party-notices.ts';

const projectDir = dirname(import.meta.dirname);
const packages = [
  '.',
  'apps/api',
  'apps/worker',
  'packages/lipsync-client',
  'packages/lipsync-core',
  'packages/lipsync-queue',
  'packages/heygen-standin',
];
/** SHA-256 of the text that the Apache Software Foundation publishes. */
const apacheSha256 = 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30';

describe('licenses', () => {
  it('LICENSE is the unchanged text of the Apache License 2.0.', () => {
    const text = readFileSync(join(projectDir, 'LICENSE'));
    expect(createHash('sha256').update(text).digest('hex')).toBe(apacheSha256);
  });

  it.each(packages)('The manifest of %s declares the license.', (name) => {
    const manifest: unknown = JSON.parse(readFileSync(join(projectDir, name, 'package.json'), 'utf8'));
    expect(manifest).toMatchObject({ license: 'Apache-2.0' });
  });

  it('The notices name direct and indirect packages, all models, and ffmpeg, and no package of the tests.', () => {
    const notices = createNotices(projectDir);
    for (const name of [
      'express@',
      'onnxruntime-common@',
      '@vladmandic/human@',
      'blazeface:',
      'wav2lip:',
      'ffmpeg:',
      'espeak-ng:',
    ])
      expect(notices).toMatch(new RegExp(`^${name}`, 'm'));
    expect(notices).not.toMatch(/^(vitest|oxlint)@/m);
  });

  describe('with another lock file', () => {
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lipsync-notices-'));
      for (const name of ['node_modules', 'models']) await symlink(join(projectDir, name), join(folder, name));
    });
    afterEach(() => rm(folder, { recursive: true, force: true }));

    /** Writes a lock file in which the core depends on one more package. */
    async function addDependency(name: string, version: string, facts?: string): Promise<void> {
      const lock = await readFile(join(projectDir, 'pnpm-lock.yaml'), 'utf8');
      const entry = `\n      ${name}:\n        specifier: ${version}\n        version: ${version}`;
      const withEntry = lock.replace(/\n  packages\/lipsync-core:\n    dependencies:/, (found) => found + entry);
      const key = `\n\n  ${name}@${version}:`;
      const withPackage = withEntry
        .replace('\npackages:', (found) => found + (facts === undefined ? '' : `${key} ${facts}`))
        .replace('\nsnapshots:', (found) => found + (facts === undefined ? '' : `${key} {}`));
      await writeFile(join(folder, 'pnpm-lock.yaml'), withPackage);
    }

    it('A new dependency is named in the notices, so that the committed ones are out of date.', async () => {
      const version =
        /^  picomatch@([\d.]+)/m.exec(await readFile(join(projectDir, 'pnpm-lock.yaml'), 'utf8'))?.[1] ?? '';
      await addDependency('picomatch', version);
      expect(createNotices(folder)).toMatch(new RegExp(`^picomatch@${version} \\(`, 'm'));
    });

    it('A dependency of another operating system is named without its text, because it is not installed.', async () => {
      await addDependency('for-another-system', '1.0.0', '{ os: [plan9] }');
      expect(createNotices(folder)).toMatch(/^for-another-system@1\.0\.0$/m);
    });

    it('A dependency that is not installed is refused by its name.', async () => {
      await addDependency('not-installed', '1.0.0', '{}');
      expect(() => createNotices(folder)).toThrow('not-installed@1.0.0 is not installed.');
    });
  });
});
