import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ArtifactStore } from '../storage/artifact-store.ts';

export interface ArtifactStoreUnderTest {
  readonly store: ArtifactStore;
  /** Names of all objects in the driver, partial ones included. */
  listStored(): Promise<readonly string[]>;
  /** Leaves one partial input and one partial output, as writers that crashed just now do. */
  leavePartials(): Promise<void>;
  /** Age above which a sweep deletes these partials, if the driver waits longer than the caller of the sweep. */
  readonly partialsExpireAfterMs?: number;
  dispose(): Promise<void>;
}

const outputKey = 'outputs/job_1/output.mp4';
const hourMs = 3_600_000;

/** Conformance suite of the artifact store port. `makeStore` creates an empty store for each test. */
export function artifactStoreSuite(name: string, makeStore: () => Promise<ArtifactStoreUnderTest>): void {
  describe(`artifact store: ${name}`, () => {
    let subject: ArtifactStoreUnderTest;
    let dir: string;
    const file = async (content: string | Uint8Array, fileName = 'take.mp4'): Promise<string> => {
      const path = join(dir, fileName);
      await writeFile(path, content);
      return path;
    };

    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), 'artifact-suite-'));
      subject = await makeStore();
    });
    afterEach(async () => {
      await subject.dispose();
      await rm(dir, { recursive: true, force: true });
    });

    describe('inputs', () => {
      it('An input is stored under the SHA-256 of its content.', async () => {
        const content = Buffer.from('a clip');
        const stored = await subject.store.putInput(Readable.from([content]), { maxBytes: 100 });
        const sha256 = createHash('sha256').update(content).digest('hex');
        expect(stored).toEqual({ key: `inputs/${sha256}`, sizeBytes: 6, sha256 });
        expect(await subject.store.stat(stored.key)).toEqual(stored);
        expect(await readAll(subject.store, stored.key)).toEqual(content);
      });

      it('The same bytes get one key, regardless of how many times and in which chunks they arrive.', async () => {
        const keys = await Promise.all(
          [['ab', 'cd'], ['abcd'], ['a', 'b', 'c', 'd']].map((chunks) => putText(subject.store, ...chunks)),
        );
        expect(new Set(keys).size).toBe(1);
        expect(await subject.listStored()).toHaveLength(1);
      });

      it('An input of exactly the maximum size is stored.', async () => {
        const stored = await subject.store.putInput(Readable.from([Buffer.alloc(10)]), { maxBytes: 10 });
        expect(stored.sizeBytes).toBe(10);
      });

      it('An input that is one byte too large is refused and leaves nothing behind.', async () => {
        const put = subject.store.putInput(Readable.from([Buffer.alloc(6), Buffer.alloc(5)]), { maxBytes: 10 });
        await expect(put).rejects.toMatchObject({ code: 'payload_too_large' });
        expect(await subject.listStored()).toEqual([]);
      });

      it('An input whose source fails leaves nothing behind.', async () => {
        const failure = new Error('connection lost');
        const source = Readable.from(failAfter('half', failure));
        await expect(subject.store.putInput(source, { maxBytes: 100 })).rejects.toBe(failure);
        expect(await subject.listStored()).toEqual([]);
      });

      it('An input whose source is cut off leaves nothing behind.', async () => {
        const source = new Readable({ read: () => undefined });
        source.push('half');
        const put = subject.store.putInput(source, { maxBytes: 100 });
        setImmediate(() => source.destroy());
        await expect(put).rejects.toThrow();
        expect(await subject.listStored()).toEqual([]);
      });

      it('An input that is canceled leaves nothing behind, and its source is destroyed.', async () => {
        const source = new Readable({ read: () => undefined });
        source.push('half');
        const controller = new AbortController();
        const put = subject.store.putInput(source, { maxBytes: 100, signal: controller.signal });
        setImmediate(() => controller.abort());
        await expect(put).rejects.toMatchObject({ code: 'canceled' });
        expect(source.destroyed).toBe(true);
        expect(await subject.listStored()).toEqual([]);
      });
    });

    describe('outputs', () => {
      it('A published output can be read under its key.', async () => {
        const stored = await subject.store.publish(await file('a take'), outputKey);
        expect(stored).toEqual({ key: outputKey, sizeBytes: 6, sha256: null });
        expect(await subject.store.stat(stored.key)).toEqual(stored);
        expect((await readAll(subject.store, stored.key)).toString()).toBe('a take');
      });

      it('An output replaces an earlier one without affecting its readers.', async () => {
        await subject.store.publish(await file('first'), outputKey);
        const reading = await subject.store.read(outputKey);
        await subject.store.publish(await file('second'), outputKey);
        expect((await buffer(reading)).toString()).toBe('first');
        expect((await readAll(subject.store, outputKey)).toString()).toBe('second');
      });

      it('Readers see only complete outputs while several writers publish the same key.', async () => {
        const contents = Array.from({ length: 8 }, (_, index) => Buffer.alloc(200_000, index + 1));
        const paths = await Promise.all(contents.map((content, index) => file(content, `take-${index}`)));
        await subject.store.publish(await file(Buffer.alloc(200_000), 'take-first'), outputKey);
        const [reads] = await Promise.all([
          Promise.all(Array.from({ length: 8 }, () => readAll(subject.store, outputKey))),
          Promise.all(paths.map((path) => subject.store.publish(path, outputKey))),
        ]);
        for (const read of reads) {
          expect(read.byteLength).toBe(200_000);
          expect(new Set(read).size).toBe(1);
        }
      });
    });

    it('A signed URL, where the driver makes any, serves the output with the requested headers.', async () => {
      await subject.store.publish(await file('a take'), outputKey);
      const headers = { contentType: 'video/mp4', contentDisposition: 'inline; filename="clip.mp4"' };
      const url = await subject.store.signedUrl(outputKey, headers);
      if (url === undefined) return;
      const response = await fetch(url);
      expect(response.headers.get('content-disposition')).toBe(headers.contentDisposition);
      expect(await response.text()).toBe('a take');
    });

    describe('ranges', () => {
      it.each([
        [0, 0, 'a'],
        [2, 4, 'cde'],
        [9, 9, 'j'],
        [0, 9, 'abcdefghij'],
      ])('A range from %i to %i includes both ends.', async (start, end, expected) => {
        const key = await putText(subject.store, 'abcdefghij');
        expect((await readAll(subject.store, key, { start, end })).toString()).toBe(expected);
      });

      it.each([
        [-1, 3],
        [4, 3],
        [0, 10],
        [0.5, 3],
      ])('A range from %d to %d of ten bytes is refused.', async (start, end) => {
        const key = await putText(subject.store, 'abcdefghij');
        await expect(subject.store.read(key, { start, end })).rejects.toMatchObject({ code: 'request_invalid' });
      });
    });

    describe('materialize', () => {
      it('A materialized artifact is a local file with the same content that replaces an earlier file.', async () => {
        const key = await putText(subject.store, 'content');
        const path = await file('an older file', 'clip');
        await subject.store.materialize(key, path);
        await subject.store.materialize(key, path);
        expect(await readFile(path, 'utf8')).toBe('content');
      });

      it("A materialized file and its artifact are independent of each other's deletion.", async () => {
        const key = await putText(subject.store, 'content');
        const [kept, removed] = [join(dir, 'kept'), join(dir, 'removed')];
        await subject.store.materialize(key, kept);
        await subject.store.materialize(key, removed);
        await rm(removed);
        expect((await readAll(subject.store, key)).toString()).toBe('content');
        await subject.store.delete(key);
        expect(await readFile(kept, 'utf8')).toBe('content');
      });
    });

    describe('missing objects', () => {
      const missing = `inputs/${'0'.repeat(64)}`;

      it('A transfer or deletion that is canceled ends with the reason, and changes nothing.', async () => {
        const key = await putText(subject.store, 'a clip');
        const signal = AbortSignal.abort();
        const [path, target] = [await file('a take'), join(dir, 'target')];
        await expect(subject.store.publish(path, outputKey, signal)).rejects.toMatchObject({ code: 'canceled' });
        await expect(subject.store.materialize(key, target, signal)).rejects.toMatchObject({ code: 'canceled' });
        await expect(subject.store.delete(key, signal)).rejects.toMatchObject({ code: 'canceled' });
        expect(await readFile(path, 'utf8')).toBe('a take');
        expect(await subject.listStored()).toHaveLength(1);
        await expect(readFile(target)).rejects.toMatchObject({ code: 'ENOENT' });
      });

      it('A missing object has no facts and cannot be read or materialized.', async () => {
        expect(await subject.store.stat(missing)).toBeUndefined();
        await expect(subject.store.read(missing)).rejects.toMatchObject({ code: 'not_found' });
        await expect(subject.store.materialize(missing, join(dir, 'target'))).rejects.toMatchObject({
          code: 'not_found',
        });
      });

      it('An object can be deleted twice.', async () => {
        await subject.store.publish(await file('a take'), outputKey);
        await subject.store.delete(outputKey);
        await subject.store.delete(outputKey);
        expect(await subject.store.stat(outputKey)).toBeUndefined();
        expect(await subject.listStored()).toEqual([]);
      });
    });

    describe('maintenance', () => {
      it('A sweep deletes old partial files and keeps recent ones and complete objects.', async () => {
        const key = await putText(subject.store, 'content');
        await subject.store.publish(await file('a take'), outputKey);
        const complete = await subject.listStored();
        await subject.leavePartials();
        const nowMs = Date.now();
        const { partialsExpireAfterMs = hourMs } = subject;
        expect(await subject.store.sweep({ olderThanMs: hourMs, nowMs })).toBe(0);
        const laterMs = nowMs + partialsExpireAfterMs + hourMs;
        expect(await subject.store.sweep({ olderThanMs: hourMs, nowMs: laterMs })).toBe(2);
        expect(await subject.listStored()).toEqual(complete);
        expect((await readAll(subject.store, key)).toString()).toBe('content');
        expect((await readAll(subject.store, outputKey)).toString()).toBe('a take');
      });

      it('A sweep of an empty store deletes nothing.', async () => {
        expect(await subject.store.sweep({ olderThanMs: 0, nowMs: Date.now() })).toBe(0);
      });

      it('The health check of a writable store succeeds and leaves nothing behind.', async () => {
        for (const { error, freeBytes } of Object.values(await subject.store.health())) {
          expect(error).toBeNull();
          if (freeBytes !== null) expect(freeBytes).toBeGreaterThan(0);
        }
        expect(await subject.listStored()).toEqual([]);
      });
    });

    it('An output is not published under the key of an input, and its file stays.', async () => {
      const path = await file('a take');
      const published = subject.store.publish(path, `inputs/${'a'.repeat(64)}`);
      await expect(published).rejects.toMatchObject({
        code: 'internal',
        message: expect.stringContaining('under the key of an input'),
      });
      expect(await readFile(path, 'utf8')).toBe('a take');
      expect(await subject.listStored()).toEqual([]);
    });

    it.each(hostileKeys)('The invalid key %j is refused.', async (key) => {
      const calls = [
        async () => subject.store.stat(key),
        async () => subject.store.read(key),
        async () => subject.store.materialize(key, join(dir, 'target')),
        async () => subject.store.delete(key),
        async () => subject.store.publish(await file('a take'), key),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'internal' });
    });
  });
}

const hostileKeys = [
  '',
  'inputs/',
  'inputs/..',
  `inputs/${'0'.repeat(63)}`,
  `inputs/${'A'.repeat(64)}`,
  `inputs/${'0'.repeat(64)}/x`,
  `/inputs/${'0'.repeat(64)}`,
  'outputs/job_1',
  'outputs/../inputs',
  'outputs/job_1/..',
  'outputs/job_1/.hidden',
  'outputs/job_1/a/b',
  'outputs/job_1/a\u0000b',
  'outputs/job_1/a\nb',
  'outputs/./x',
  'other/job_1/x',
];

function readAll(
  store: ArtifactStore,
  key: string,
  range?: { readonly start: number; readonly end: number },
): Promise<Buffer> {
  return store.read(key, range).then((stream) => buffer(stream));
}

async function putText(store: ArtifactStore, ...chunks: readonly string[]): Promise<string> {
  return (await store.putInput(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), { maxBytes: 1_000 })).key;
}

async function* failAfter(text: string, failure: Error): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
  throw failure;
}
