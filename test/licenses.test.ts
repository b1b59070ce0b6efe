import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createNotices } from '../scripts/check/third-party-notices.ts';

const projectDir = dirname(import.meta.dirname);
const packages = [
  '.',
  'apps/api',
  'apps/worker',
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
});
