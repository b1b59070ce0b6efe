import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { localIdentityIn } from '../../src/marking/local-certificates.ts';
import { makeMarked } from '../marking/make-marked.ts';
import { runCli } from './run-cli.ts';

const slow = { timeout: 120_000 } as const;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-verify-'));
  vi.stubEnv('LIPSYNC_DATA_DIR', join(folder, 'data'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

it('verify prints state, signer, actions and ingredients of a marked output, and exits with 0.', slow, async () => {
  const path = await makeMarked(folder, await localIdentityIn(join(folder, 'data', 'marking'), Date.now()));
  const { exitCode, stdout, stderr } = await runCli('verify', path);
  const trained = 'compositeWithTrainedAlgorithmicMedia';
  expect(stdout.trimEnd().split('\n')).toEqual([
    `${path}: valid: the manifest and the file are unchanged since signing`,
    '  signer       Lipsync output, Lipsync (trusted here)',
    '  action       c2pa.opened',
    '  action       c2pa.placed',
    `  action       c2pa.edited, 2026-11-29T12:00:00.000Z, ${trained}, lipsync 1.2.3, preview`,
    '  ingredient   parentOf, no manifest',
    '  ingredient   componentOf, no manifest',
  ]);
  expect([exitCode, stderr]).toEqual([0, '']);
});

it(
  'verify --json prints one line and exits with 1 for a file without a manifest and for a missing one.',
  slow,
  async () => {
    const unsigned = await runCli('verify', join(folder, 'take.mp4'), '--json');
    expect([unsigned.exitCode, JSON.parse(unsigned.stdout)]).toMatchObject([1, { state: 'unsigned', signer: null }]);
    const missing = await runCli('verify', join(folder, 'none.mp4'), '--json');
    expect([missing.exitCode, JSON.parse(missing.stdout)]).toMatchObject([
      1,
      { state: null, error: { code: 'not_found' } },
    ]);
  },
);
