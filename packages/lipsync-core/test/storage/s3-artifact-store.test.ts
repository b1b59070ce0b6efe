import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { S3Bucket } from '../../src/storage/s3/s3-bucket.ts';
import { S3ArtifactStore } from '../../src/storage/s3/s3-artifact-store.ts';
import { artifactStoreSuite } from '../../src/testing/artifact-store-suite.ts';
import { startTestS3, type TestS3 } from '../../src/testing/test-s3.ts';

let s3: TestS3;
let stores = 0;
beforeAll(async () => {
  s3 = await startTestS3();
});
afterAll(() => s3.stop());

artifactStoreSuite('S3', async () => {
  const root = await mkdtemp(join(tmpdir(), 's3-store-'));
  const settings = s3.settings(`store-${++stores}/`);
  const uploadsDir = join(root, 'uploads');
  const bucket = new S3Bucket(settings);
  return {
    store: new S3ArtifactStore({ settings, uploadsDir, cacheDir: join(root, 'cache'), cacheBytes: 1_000_000 }),
    async listStored() {
      const objects = (await bucket.list('')).map(({ key }) => key);
      return [...objects, ...(await bucket.listUploads()).map(({ uploadId }) => uploadId)];
    },
    async leavePartials() {
      await bucket.createUpload('outputs/job_1/output.mp4/000001');
      await mkdir(uploadsDir, { recursive: true });
      await writeFile(join(uploadsDir, '.input.1.part'), 'half');
    },
    dispose: () => rm(root, { recursive: true, force: true }),
  };
});
