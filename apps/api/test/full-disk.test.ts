import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalArtifactStore } from '@lipsync/core';
import { expect, it } from 'vitest';
import { form, json, startApi } from './running-api.ts';

it('answers 503 with advice when the disk is full only after every byte was read, and keeps nothing half-written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'api-disk-'));
  const disk = createLocalArtifactStore({ inputsDir: join(folder, 'in'), outputsDir: join(folder, 'out') });
  let stored = 0;
  const api = await startApi({
    artifacts: {
      ...disk,
      async putInput(content, limits) {
        stored += 1;
        if (stored === 1) return disk.putInput(content, limits);
        await content.toArray();
        throw Object.assign(new Error('ENOSPC: no space left on device, fsync'), { code: 'ENOSPC' });
      },
    },
  });
  try {
    const response = await api.post('/lipsync', form());
    expect(response.status).toBe(503);
    expect(await json(response)).toMatchObject({
      code: 'resource_exhausted',
      retryable: true,
      detail: expect.stringContaining('Make room'),
    });
    await expect.poll(() => readdir(join(folder, 'in'))).not.toContainEqual(expect.stringContaining('.part'));
  } finally {
    await api.close();
    await rm(folder, { recursive: true, force: true });
  }
});
