import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { voiceModelPath } from '../packages/lipsync-core/src/audio/voice-activity-detector.ts';

interface ModelFile {
  readonly package: string;
  readonly path: string;
  readonly sha256: string;
}

interface Model {
  readonly name: string;
  readonly role: string;
  readonly origin: string;
  readonly licence: string;
  readonly files: readonly ModelFile[];
}

const projectDir = dirname(import.meta.dirname);
const coreDir = join(projectDir, 'packages', 'lipsync-core');
const { models }: { models: readonly Model[] } = JSON.parse(
  readFileSync(join(projectDir, 'models', 'manifest.json'), 'utf8'),
);
const files = models.flatMap((model) => model.files);

function installedPath({ package: name, path }: ModelFile): string {
  return name === '@lipsync/core' ? join(coreDir, path) : join(coreDir, 'node_modules', name, path);
}

describe('models/manifest.json', () => {
  it.each(files.map((file) => [`${file.package}/${file.path}`, file] as const))(
    'models/manifest.json has the digest of the installed file %s.',
    (_name, file) => {
      expect(
        createHash('sha256')
          .update(readFileSync(installedPath(file)))
          .digest('hex'),
      ).toBe(file.sha256);
    },
  );

  it('models/manifest.json lists the voice activity model and every model of the core.', () => {
    const paths = files.map(installedPath);
    expect(paths.map((path) => realpathSync(path))).toContain(realpathSync(voiceModelPath()));
    // Files; the folders beside them hold pictures.
    const assets = readdirSync(join(coreDir, 'assets'), { withFileTypes: true }).filter((entry) => entry.isFile());
    expect(assets.length).toBeGreaterThan(0);
    expect(paths).toEqual(expect.arrayContaining(assets.map(({ name }) => join(coreDir, 'assets', name))));
  });

  it('models/manifest.json has role, origin and license of each model, and models/README.md lists the same.', () => {
    const page = readFileSync(join(projectDir, 'models', 'README.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `([\w-]+)` \| (.+?) \| `(.+?)` \| (.+?) \|$/gm)].map(([, ...cells]) => cells);
    expect(rows).toEqual(
      models.map(({ name, role, licence, files: [first] }) => [name, role, first?.package, licence]),
    );
    expect(models.every(({ origin }) => origin.length > 0)).toBe(true);
  });
});
