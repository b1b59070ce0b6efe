import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { S3ArtifactStore } from '../../src/storage/s3/s3-artifact-store.ts';
import { S3Bucket } from '../../src/storage/s3/s3-bucket.ts';
import { checkSourceUrl } from '../../src/storage/s3/s3-inputs.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { startTestS3, type TestS3 } from '../../src/testing/test-s3.ts';

const outputKey = 'outputs/job_1/output.mp4';
const hourMs = 3_600_000;

let s3: TestS3;
let root: string;
const servers: Server[] = [];
beforeAll(async () => {
  s3 = await startTestS3();
  root = await mkdtemp(join(tmpdir(), 's3-requests-'));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});
afterAll(async () => {
  await s3.stop();
  await rm(root, { recursive: true });
});

function openStore(prefix: string): S3ArtifactStore {
  const folders = { uploadsDir: join(root, 'uploads'), cacheDir: join(root, 'cache'), cacheBytes: 1_000_000 };
  return new S3ArtifactStore({ settings: s3.settings(prefix), ...folders });
}

/** Opens a bucket on a server that answers with `listener`. */
async function openScripted(listener: RequestListener): Promise<S3Bucket> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // `as`: the address of a server on a port.
  const { port } = server.address() as AddressInfo;
  return new S3Bucket({ ...s3.settings(), endpoint: `http://127.0.0.1:${port}` });
}

it('Downloads that end before their first byte is read free their connections.', async () => {
  const store = openStore('abandoned/');
  const takePath = join(root, 'take.mp4');
  await writeFile(takePath, Buffer.alloc(4 * 1024 ** 2));
  await store.publish(takePath, outputKey);
  // More than the connections that one process opens.
  for (let count = 0; count < 35; count++) {
    (await store.read(outputKey)).destroy();
    (await store.read(outputKey, { start: 0, end: 4 * 1024 ** 2 - 1 })).destroy();
  }
  expect(await store.stat(outputKey)).toMatchObject({ sizeBytes: 4 * 1024 ** 2 });
}, 20_000);

it('A sweep leaves an upload alone that has been under way for hours, as one over a slow line.', async () => {
  const bucket = s3.open('slow/');
  await bucket.createUpload(`${outputKey}/000001`);
  expect(await openStore('slow/').sweep({ olderThanMs: hourMs / 2, nowMs: Date.now() + 12 * hourMs })).toBe(0);
  expect(await bucket.listUploads()).toHaveLength(1);
});

it('A listing of more objects than a page holds is complete.', async () => {
  const bucket = await openScripted((request, response) => {
    const isSecond = new URL(request.url ?? '', 'http://host').searchParams.get('continuation-token') === 'next';
    const keys = Array.from({ length: isSecond ? 1 : 1_000 }, (_, index) => `${isSecond ? 'z' : 'a'}${index}`);
    const contents = keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('');
    const rest = isSecond ? '' : '<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>';
    response.end(`<?xml version="1.0"?><ListBucketResult>${contents}${rest}</ListBucketResult>`);
  });
  const keys = (await bucket.list('')).map(({ key }) => key);
  expect([keys.length, keys.at(-1)]).toEqual([1_001, 'z0']);
});

it('A signed URL begins now by the clock of the server, also on a machine whose clock is an hour wrong.', async () => {
  const serverMs = Date.now() + hourMs;
  const bucket = await openScripted((_, response) => {
    response.setHeader('Date', new Date(serverMs).toUTCString()).end();
  });
  await bucket.size('object');
  const url = new URL(await bucket.signedUrl('object', { lifetimeMs: 60_000 }));
  const [date = '', time = ''] = (url.searchParams.get('X-Amz-Date') ?? '').split(/[TZ]/);
  const signedAt = `${date.replace(/(..)(..)$/, '-$1-$2')}T${time.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`;
  expect(Math.abs(Date.parse(signedAt) - serverMs)).toBeLessThan(60_000);
});

it.each([
  ['s3://customer/../private/clip.mp4', 'request_invalid'],
  ['s3://customer/a/../../private/clip.mp4', 'request_invalid'],
  ['s3://customer/./clip.mp4', 'request_invalid'],
  ['s3://customer/a\\..\\clip.mp4', 'request_invalid'],
  ['s3://customer%2f..%2fprivate/clip.mp4', 'url_forbidden'],
  ['s3://private/clip.mp4', 'url_forbidden'],
  ['s3://customer@private/clip.mp4', 'url_forbidden'],
  ['s3://shared/service/outputs/job_1/output.mp4/000001', 'url_forbidden'],
])('The input %s, which leads out of the allowed objects, is refused.', (url, code) => {
  const own = { bucket: 'shared', prefix: 'service/' };
  const s3Inputs = { buckets: ['customer', 'shared'], own, connection: s3.settings() };
  const check = (text: string): void => checkSourceUrl(text, { allowedPrivateHosts: parseAllowedHosts([]), s3Inputs });
  expect(() => check(url)).toThrow(expect.objectContaining({ code }));
  check('s3://customer/a..b/.hidden/clip...mp4');
  check('s3://shared/service-of-others/clip.mp4');
});
