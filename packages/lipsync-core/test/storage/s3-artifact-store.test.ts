import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
  const signedUrls = { lifetimeMs: 60_000, endpoint: null };
  return {
    store: new S3ArtifactStore({
      settings,
      uploadsDir,
      cacheDir: join(root, 'cache'),
      cacheBytes: 1_000_000,
      signedUrls,
    }),
    async listStored() {
      const objects = (await bucket.list('')).map(({ key }) => key);
      return [...objects, ...(await bucket.listUploads()).map(({ uploadId }) => uploadId)];
    },
    // The file after an hour, the unfinished upload after a day.
    partialsExpireAfterMs: 86_400_000,
    async leavePartials() {
      await bucket.createUpload('outputs/job_1/output.mp4/000001');
      await mkdir(uploadsDir, { recursive: true });
      await writeFile(join(uploadsDir, '.input.1.part'), 'half');
    },
    dispose: () => rm(root, { recursive: true, force: true }),
  };
});

it('A store in folders loads nothing of the AWS SDK.', async () => {
  const program = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load: (url, context, next) => (url.includes('aws-sdk') && loaded.push(url), next(url, context)) });
    const { createArtifactStore } = await import(${JSON.stringify(new URL('../../src/host.ts', import.meta.url).href)});
    const open = (artifactStore) => createArtifactStore({ dataDir: '/nowhere', outputDir: '/nowhere', artifactStore });
    await open({ kind: 'file' }).stat('outputs/job_1/output.mp4');
    const inFolders = loaded.length;
    const s3 = { bucket: 'b', prefix: '', region: 'r', endpoint: 'http://127.0.0.1:1', credentials: null };
    await open({ kind: 's3', s3, cacheBytes: 1 }).stat('outputs/job_1/output.mp4').catch(() => undefined);
    console.log(JSON.stringify({ inFolders, inBucket: loaded.length > 0 }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  expect(JSON.parse(stdout)).toEqual({ inFolders: 0, inBucket: true });
});
