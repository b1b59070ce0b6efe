import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { originWithout } from '../../src/marking/parse-origin.ts';
import { OriginVerifier } from '../../src/service/origin-verifier.ts';
import { temporaryFolder } from '../media/make-media.ts';

const { signal } = new AbortController();
const similarity = { picture: 1, sound: 1, mouth: null, offsetMs: 0 };
const found = { match: 'output', jobId: 'job_1', owner: 'alice', ...similarity } as const;

it('A look-up names the job of an output only to a caller that may see it.', async () => {
  const workFolder = await temporaryFolder();
  const path = join(workFolder, 'copy.mp4');
  await writeFile(path, 'a copy');
  const verifier = new OriginVerifier({
    reader: { read: async () => originWithout('unsigned', null) },
    search: { find: async () => ({ found, searched: 2, reason: null }) },
    workFolder,
    downloads: { maxBytes: 1_000, allowedPrivateHosts: [], minBytesPerSecond: 0 },
  });
  const seenBy = async (name: string) =>
    (await verifier.verify(path, { signal, mayAccess: (owner) => owner === name })).fingerprint;
  const view = { match: 'output', picture: 1, sound: 1, mouth: null, offset_ms: 0, searched: 2, reason: null };
  expect(await seenBy('alice')).toEqual({ ...view, job_id: 'job_1' });
  expect(await seenBy('bob')).toEqual({ ...view, job_id: null });
});
