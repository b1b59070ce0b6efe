import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalArtifactStore, type StoredArtifact } from '@lipsync/core/host';
import { expect, it } from 'vitest';
import { form, json, startApi } from './running-api.ts';

it('If the disk is full at the end of an upload, the API answers 503 with advice and keeps no partial file.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'api-disk-'));
  let stored = 0;
  class FillingStore extends LocalArtifactStore {
    override async putInput(...[content, limits]: Parameters<LocalArtifactStore['putInput']>): Promise<StoredArtifact> {
      stored += 1;
      if (stored === 1) return super.putInput(content, limits);
      await content.toArray();
      throw Object.assign(new Error('ENOSPC: no space left on device, fsync'), { code: 'ENOSPC' });
    }
  }
  const api = await startApi({
    artifacts: new FillingStore({ inputsDir: join(folder, 'in'), outputsDir: join(folder, 'out') }),
  });
  try {
    const response = await api.post('/lipsync', form());
    expect(response.status).toBe(503);
    expect(await json(response)).toMatchObject({
      code: 'resource_exhausted',
      retryable: true,
      detail: expect.stringContaining('Free space'),
    });
    await expect.poll(() => readdir(join(folder, 'in'))).not.toContainEqual(expect.stringContaining('.part'));
  } finally {
    await api.close();
    await rm(folder, { recursive: true, force: true });
  }
});

it('If the data folder cannot be written, the API answers an upload with 503 and names the folder.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'api-disk-'));
  await writeFile(join(folder, 'file'), '');
  const inputsDir = join(folder, 'file', 'in');
  const api = await startApi({ artifacts: new LocalArtifactStore({ inputsDir, outputsDir: join(folder, 'out') }) });
  try {
    const response = await api.post('/lipsync', form());
    expect(response.status).toBe(503);
    expect(await json(response)).toMatchObject({
      code: 'storage_unwritable',
      retryable: true,
      detail: expect.stringContaining(inputsDir),
    });
  } finally {
    await api.close();
    await rm(folder, { recursive: true, force: true });
  }
});
