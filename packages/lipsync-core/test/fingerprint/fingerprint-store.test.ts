import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { FingerprintStore, type StoredKey } from '../../src/fingerprint/fingerprint-store.ts';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { temporaryFolder } from '../media/make-media.ts';

const fingerprint = { key: { sound: 'AQAAAA==', pictures: 'AQAAAAIAAAA=' }, packed: 'AQ==' };

async function listPages(store: FingerprintStore): Promise<readonly (readonly StoredKey[])[]> {
  const pages: (readonly StoredKey[])[] = [];
  for await (const page of store.listKeys()) pages.push(page);
  return pages;
}

it('Fingerprints are listed page by page, passed on to another job, and deleted.', async () => {
  const state = new SqliteStateStore({ path: join(await temporaryFolder(), 'state.sqlite') });
  onTestFinished(() => state.close());
  const store = new FingerprintStore({ state, pageSize: 2 });
  const ids = Array.from({ length: 3 }, (_, index) => `job_${index}`);
  for (const id of ids) await store.save({ id, owner: 'alice' }, fingerprint);
  const listed = await listPages(store);
  expect(listed.map((page) => page.length)).toEqual([2, 1]);
  expect(listed.flat().map(({ jobId }) => jobId)).toEqual(ids);
  expect(listed[0]?.[0]).toEqual({ jobId: 'job_0', owner: 'alice', ...fingerprint.key });
  await store.move('job_0', 'job_heir');
  await store.move('job_0', 'job_heir');
  expect([await store.find('job_0'), await store.find('job_heir')]).toEqual([undefined, fingerprint.packed]);
  await store.delete('job_heir');
  await store.delete('job_heir');
  expect(await store.find('job_heir')).toBeUndefined();
  expect((await listPages(store)).flat()).toHaveLength(2);
});
