import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { chooseOutput } from '../../src/fingerprint/verdict.ts';
import { originWithout } from '../../src/marking/parse-origin.ts';
import { OriginVerifier } from '../../src/service/origin-verifier.ts';
import { temporaryFolder } from '../media/make-media.ts';

const { signal } = new AbortController();
const similarity = { picture: 1, sound: 1, mouth: null, offsetMs: 0 };
const outputs = ['alice', 'bob'].map((owner) => {
  return { match: 'output', jobId: `job_of_${owner}`, owner, ...similarity } as const;
});

it('A look-up names the output that the caller may see, and none of another one.', async () => {
  const workFolder = await temporaryFolder();
  const path = join(workFolder, 'copy.mp4');
  await writeFile(path, 'a copy');
  const verifier = new OriginVerifier({
    reader: { read: async () => originWithout('unsigned', null) },
    search: {
      find: async (_path, { mayAccess }) => ({ found: chooseOutput(outputs, mayAccess), searched: 2, reason: null }),
    },
    workFolder,
    downloads: { maxBytes: 1_000, allowedPrivateHosts: [], minBytesPerSecond: 0 },
  });
  const seenBy = async (name: string) =>
    (await verifier.verify(path, { signal, mayAccess: (owner) => owner === name })).fingerprint;
  const view = { match: 'output', picture: 1, sound: 1, mouth: null, offset_ms: 0, searched: 2, reason: null };
  for (const name of ['alice', 'bob']) expect(await seenBy(name)).toEqual({ ...view, job_id: `job_of_${name}` });
  expect(await seenBy('carol')).toEqual({ ...view, job_id: null });
});
