import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { GuardedClient } from '../../net/index.ts';
import type { HeygenClient } from './heygen-client.ts';
import { uploadFile } from './heygen-upload.ts';

it('A file that cannot be opened for a direct upload fails the upload, without an error event that ends the process.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-upload-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'clip.mp4');
  await writeFile(path, 'clip');
  const client: Pick<HeygenClient, 'createDirectUpload' | 'completeDirectUpload'> = {
    async createDirectUpload() {
      await rm(path);
      return { asset_id: 'asset', upload_url: 'https://storage.invalid/', upload_headers: {}, max_bytes: null };
    },
    completeDirectUpload: () => Promise.reject(new Error('not uploaded')),
  };
  const guardedClient: Pick<GuardedClient, 'request'> = {
    async request() {
      await delay(20);
      throw new Error('the body was never read');
    },
  };
  const upload = uploadFile(
    { path, name: 'clip.mp4', contentType: 'video/mp4', idempotencyKey: 'key' },
    {
      // `as`: a direct upload calls no other method.
      client: client as HeygenClient,
      guardedClient: guardedClient as GuardedClient,
      simpleUploadMaxBytes: 0,
      transferTimeoutMs: 1_000,
      retryPauseMs: 1,
    },
    new AbortController().signal,
  );
  await expect(upload).rejects.toMatchObject({ code: 'ENOENT' });
});
