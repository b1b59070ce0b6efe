import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, type StorageError } from '../../src/errors/index.ts';
import type { S3Bucket } from '../../src/storage/s3/s3-bucket.ts';
import { S3ArtifactStore, type S3ArtifactStoreOptions } from '../../src/storage/s3/s3-artifact-store.ts';
import type { S3Limits } from '../../src/storage/s3/s3-requests.ts';
import type { S3Fault } from '../../src/testing/s3-proxy.ts';
import { startTestS3, type TestS3 } from '../../src/testing/test-s3.ts';

const outputKey = 'outputs/job_1/output.mp4';
const mebibyte = 1024 ** 2;
/** Short pauses; a loaded machine needs long timeouts wherever the server answers. */
const repeating = { tries: 2, pauseMs: 10 };
const hasty = { ...repeating, responseTimeoutMs: 500, minBytesPerSecond: 1_000_000 };

let s3: TestS3;
let stores = 0;
let root: string;
let bucket: S3Bucket;
let store: S3ArtifactStore;
let takePath: string;

beforeAll(async () => {
  s3 = await startTestS3();
});
afterAll(() => s3.stop());
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 's3-faults-'));
  const prefix = `faults-${++stores}/`;
  bucket = s3.open(prefix);
  store = openStore();
  takePath = join(root, 'take.mp4');
  await writeFile(takePath, 'a take');
});
afterEach(async () => {
  s3.proxy.setFault(undefined);
  await rm(root, { recursive: true, force: true });
});

const openStore = (limits: Partial<S3Limits> = repeating, change: Partial<S3ArtifactStoreOptions> = {}) =>
  new S3ArtifactStore({
    settings: s3.settings(`faults-${stores}/`),
    uploadsDir: join(root, 'uploads'),
    cacheDir: join(root, 'cache'),
    cacheBytes: 100 * mebibyte,
    limits,
    ...change,
  });
const putInput = (content: Buffer | string = 'a clip') =>
  store.putInput(Readable.from([Buffer.from(content)]), { maxBytes: 100 * mebibyte });
const listStored = async () => (await bucket.list('')).map(({ key }) => key);
const localFiles = async () => {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name !== 'take.mp4').map(({ name }) => name);
};

const error = (status: number, code: string): S3Fault => ({ kind: 'error', status, code });
const faults: readonly [name: string, fault: S3Fault, code: StorageError['code']][] = [
  ['answers 503 SlowDown', error(503, 'SlowDown'), 'store_unavailable'],
  ['answers 500', error(500, 'InternalError'), 'store_unavailable'],
  ['closes connections', { kind: 'cut' }, 'store_unavailable'],
  ['never answers', { kind: 'silence' }, 'store_timeout'],
  ['receives other bytes', { kind: 'corrupt' }, 'store_corrupted'],
  ['refuses a digest', error(400, 'BadDigest'), 'store_corrupted'],
  ['rejects expired credentials', error(400, 'ExpiredToken'), 'store_credentials_rejected'],
  ['rejects a key', error(403, 'InvalidAccessKeyId'), 'store_credentials_rejected'],
  ['has an exhausted quota', error(400, 'QuotaExceeded'), 'store_full'],
  ['is full', error(507, 'XMinioStorageFull'), 'store_full'],
  ['has no such bucket', error(404, 'NoSuchBucket'), 'storage_unwritable'],
];

function onUpload(fault: S3Fault): void {
  s3.proxy.setFault(({ method }) => (method === 'PUT' ? fault : undefined));
}

describe.each(faults)('a store that %s', (_, fault, code) => {
  it('An upload fails with the code of its cause, leaves nothing behind, and succeeds afterwards.', async () => {
    if (fault.kind === 'silence') store = openStore(hasty);
    onUpload(fault);
    await expect(putInput()).rejects.toMatchObject({ name: 'StorageError', code });
    await expect(store.publish(takePath, outputKey)).rejects.toMatchObject({ name: 'StorageError', code });
    s3.proxy.setFault(undefined);
    store = openStore();
    expect(await listStored()).toEqual([]);
    expect(await localFiles()).toEqual([]);
    expect(await readFile(takePath, 'utf8')).toBe('a take');
    await putInput();
    await store.publish(takePath, outputKey);
    expect((await buffer(await store.read(outputKey))).toString()).toBe('a take');
  });

  it('A download fails with the code of its cause, and leaves no file.', async () => {
    const { key } = await putInput(randomBytes(200_000));
    if (fault.kind === 'silence') store = openStore(hasty);
    s3.proxy.setFault(({ method, query }) => (method === 'GET' && !query.has('list-type') ? fault : undefined));
    await expect(store.materialize(key, join(root, 'clip'))).rejects.toMatchObject({ name: 'StorageError', code });
    await expect(store.read(key).then((stream) => buffer(stream))).rejects.toMatchObject({ code });
    expect(await localFiles()).toEqual([]);
    s3.proxy.setFault(undefined);
    store = openStore();
    await store.materialize(key, join(root, 'clip'));
    expect((await readFile(join(root, 'clip'))).byteLength).toBe(200_000);
  });

  it('The health check reports the cause.', async () => {
    if (fault.kind === 'silence') store = openStore(hasty);
    onUpload(fault);
    const { inputs, outputs } = await store.health();
    // A test write is not read back.
    if (fault.kind === 'corrupt') return;
    expect([inputs.error, outputs.error]).toEqual([
      expect.objectContaining({ code }),
      expect.objectContaining({ code }),
    ]);
  });
});

it('A request that fails for a moment is repeated.', async () => {
  let failures = 0;
  s3.proxy.setFault(() => (failures++ % 3 === 0 ? error(503, 'SlowDown') : undefined));
  const { key } = await putInput();
  expect((await buffer(await store.read(key))).toString()).toBe('a clip');
  expect(failures).toBeGreaterThan(3);
});

it('A rejected key is not repeated.', async () => {
  s3.proxy.setFault(() => error(403, 'AccessDenied'));
  const before = s3.proxy.requests.length;
  await expect(store.stat(outputKey)).rejects.toMatchObject({ code: 'store_credentials_rejected' });
  expect(s3.proxy.requests.length - before).toBe(1);
});

it('Content that arrives too slowly fails with store_timeout although it never stops.', async () => {
  const { key } = await putInput(randomBytes(4 * mebibyte));
  store = openStore(hasty);
  s3.proxy.setFault(({ query }) => (query.has('list-type') ? undefined : { kind: 'slow', pauseMs: 150 }));
  await expect(buffer(await store.read(key))).rejects.toMatchObject({ code: 'store_timeout' });
});

it('A whole read of other bytes than were stored fails before it is complete.', async () => {
  const { sizeBytes } = await putInput(randomBytes(200_000));
  const [stored = ''] = await listStored();
  await bucket.put(stored, randomBytes(sizeBytes));
  let received = 0;
  const reading = (async () => {
    for await (const chunk of await store.read(stored.split('/').slice(0, 2).join('/')))
      received += (chunk as Buffer).byteLength;
  })();
  await expect(reading).rejects.toMatchObject({ code: 'store_corrupted' });
  expect(received).toBeLessThan(sizeBytes);
});

it('A reader that is slow itself is not cut off.', async () => {
  const content = randomBytes(mebibyte);
  const { key } = await putInput(content);
  const stream = await openStore(hasty).read(key);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
    if (chunks.length === 3) await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  expect(Buffer.concat(chunks).equals(content)).toBe(true);
});

describe('transfers that are canceled', () => {
  const reason = new LipsyncError('canceled', 'The job was canceled.');

  it('A slow download ends at once with the reason, and leaves no file.', async () => {
    const { key } = await putInput(randomBytes(4 * mebibyte));
    s3.proxy.setFault(({ query }) => (query.has('list-type') ? undefined : { kind: 'slow', pauseMs: 400 }));
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 100);
    const startedAtMs = performance.now();
    await expect(store.materialize(key, join(root, 'clip'), stop.signal)).rejects.toBe(reason);
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
    expect(await localFiles()).toEqual([]);
  });

  it.each(['a take', Buffer.alloc(17 * mebibyte)])(
    'A slow upload ends with the reason, and leaves nothing in the bucket.',
    async (content) => {
      await writeFile(takePath, content);
      const stop = new AbortController();
      s3.proxy.setFault(({ method }) => {
        if (method !== 'PUT') return undefined;
        setTimeout(() => stop.abort(reason), 100);
        return { kind: 'slow', pauseMs: 400 };
      });
      await expect(store.publish(takePath, outputKey, stop.signal)).rejects.toBe(reason);
      expect(await listStored()).toEqual([]);
      expect(await bucket.listUploads()).toEqual([]);
      expect((await readFile(takePath)).byteLength).toBe(content.length);
    },
  );

  it('A job that waits for the transfer of another one ends with its reason, or with store_timeout.', async () => {
    const { key } = await putInput();
    const waiting = openStore(repeating, { transferWaitMs: 200 });
    s3.proxy.setFault(({ query }) => (query.has('list-type') ? undefined : { kind: 'silence' }));
    const stop = new AbortController();
    const first = waiting.materialize(key, join(root, 'first'), stop.signal);
    const second = waiting.materialize(key, join(root, 'second'));
    const third = waiting.materialize(key, join(root, 'third'), AbortSignal.abort(reason));
    await expect(third).rejects.toBe(reason);
    await expect(second).rejects.toMatchObject({ name: 'StorageError', code: 'store_timeout' });
    stop.abort(reason);
    await expect(first).rejects.toBe(reason);
  });
});

describe('uploads in parts', () => {
  const content = randomBytes(17 * mebibyte);

  it('A large file is uploaded in parts and read back unchanged, also by range.', async () => {
    await writeFile(takePath, content);
    await store.publish(takePath, outputKey);
    expect((await buffer(await store.read(outputKey))).equals(content)).toBe(true);
    const range = { start: 8 * mebibyte - 1, end: 8 * mebibyte };
    expect(await buffer(await store.read(outputKey, range))).toEqual(content.subarray(range.start, range.end + 1));
    expect(await bucket.listUploads()).toEqual([]);
  });

  it('A file is stored once although the answer that it is complete was lost.', async () => {
    await writeFile(takePath, content);
    const first = s3.proxy.requests.length;
    let completions = 0;
    s3.proxy.setFault(({ method, query }) => {
      if (method !== 'POST' || !query.has('uploadId')) return undefined;
      // As MinIO answers.
      return completions++ === 0 ? { kind: 'cut' } : error(404, 'NoSuchUpload');
    });
    await store.publish(takePath, outputKey);
    const sent = s3.proxy.requests.slice(first).filter(({ key }) => key !== '');
    expect(completions).toBe(2);
    expect(sent.filter(({ method, query }) => method === 'POST' && query.has('uploads'))).toHaveLength(1);
    // Nothing else proves what the server has.
    expect(sent.filter(({ method }) => method === 'GET')).toHaveLength(1);
    expect((await buffer(await store.read(outputKey))).equals(content)).toBe(true);
  });

  it('An upload whose part cannot be stored is aborted.', async () => {
    await writeFile(takePath, content);
    s3.proxy.setFault(({ query }) => (query.get('partNumber') === '3' ? error(507, 'InsufficientStorage') : undefined));
    await expect(store.publish(takePath, outputKey)).rejects.toMatchObject({ code: 'store_full' });
    expect(await bucket.listUploads()).toEqual([]);
    expect(await store.stat(outputKey)).toBeUndefined();
  });

  it('A damaged part is detected, and the file is uploaded again under another key.', async () => {
    await writeFile(takePath, content);
    let damaged = 0;
    s3.proxy.setFault(({ query }) =>
      query.get('partNumber') === '2' && damaged++ === 0 ? { kind: 'corrupt' } : undefined,
    );
    await store.publish(takePath, outputKey);
    expect(damaged).toBe(2);
    expect((await buffer(await store.read(outputKey))).equals(content)).toBe(true);
    expect(await listStored()).toHaveLength(1);
  });
});

describe('the inputs that a machine keeps', () => {
  it('An input that was materialized once is not transferred again.', async () => {
    const { key } = await putInput();
    await store.materialize(key, join(root, 'first'));
    s3.proxy.setFault(({ method, query }) =>
      method === 'GET' && !query.has('list-type') ? error(500, 'x') : undefined,
    );
    await store.materialize(key, join(root, 'second'));
    expect(await readFile(join(root, 'second'), 'utf8')).toBe('a clip');
  });

  it('Above the limit, the least recently used inputs are deleted, and files in use stay.', async () => {
    const small = openStore(repeating, { cacheBytes: 250_000 });
    const keys: string[] = [];
    for (let index = 0; index < 3; index++) keys.push((await putInput(Buffer.alloc(100_000, index))).key);
    for (const index of [0, 1, 0, 2]) {
      await small.materialize(keys[index] ?? '', join(root, `clip-${index}`));
      // The times of files have to differ.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(new Set(await readdir(join(root, 'cache')))).toEqual(
      new Set([keys[0], keys[2]].map((key) => key?.slice('inputs/'.length))),
    );
    expect((await readFile(join(root, 'clip-1'))).equals(Buffer.alloc(100_000, 1))).toBe(true);
  });

  it('An input that another machine has erased is deleted by the next sweep.', async () => {
    const { key } = await putInput();
    await store.materialize(key, join(root, 'clip'));
    for (const object of await listStored()) await bucket.delete(object);
    await store.sweep({ olderThanMs: 60_000, nowMs: Date.now() });
    expect(await readdir(join(root, 'cache'))).toEqual([]);
  });

  it('A damaged copy on this machine is not used.', async () => {
    const { key } = await putInput();
    await store.materialize(key, join(root, 'clip'));
    const [name = ''] = await readdir(join(root, 'cache'));
    await rm(join(root, 'cache', name));
    await writeFile(join(root, 'cache', name), 'short');
    await store.materialize(key, join(root, 'again'));
    expect(await readFile(join(root, 'again'), 'utf8')).toBe('a clip');
  });
});
