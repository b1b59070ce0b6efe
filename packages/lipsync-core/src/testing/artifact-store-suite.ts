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
  /** Names of everything the driver keeps, finished or not; the suite looks for leftovers in it. */
  leftovers(): Promise<readonly string[]>;
  dispose(): Promise<void>;
}

/** What every artifact store promises. `makeStore` is called once per test and gives an empty one. */
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
      it('are stored under the SHA-256 of their content', async () => {
        const content = Buffer.from('a clip');
        const stored = await subject.store.putInput(Readable.from([content]), { maxBytes: 100 });
        expect(stored).toEqual({ key: `inputs/${createHash('sha256').update(content).digest('hex')}`, sizeBytes: 6 });
        expect(await readAll(subject.store, stored.key)).toEqual(content);
      });

      it('have one key however often and however chopped they are stored', async () => {
        const keys = await Promise.all(
          [['ab', 'cd'], ['abcd'], ['a', 'b', 'c', 'd']].map((chunks) => putText(subject.store, ...chunks)),
        );
        expect(new Set(keys).size).toBe(1);
        expect(await subject.leftovers()).toHaveLength(1);
      });

      it('may be exactly as large as allowed', async () => {
        const stored = await subject.store.putInput(Readable.from([Buffer.alloc(10)]), { maxBytes: 10 });
        expect(stored.sizeBytes).toBe(10);
      });

      it('leave nothing behind when one byte too large', async () => {
        const put = subject.store.putInput(Readable.from([Buffer.alloc(6), Buffer.alloc(5)]), { maxBytes: 10 });
        await expect(put).rejects.toMatchObject({ code: 'payload_too_large' });
        expect(await subject.leftovers()).toEqual([]);
      });

      it('leave nothing behind when their source fails', async () => {
        const failure = new Error('line went dead');
        const source = Readable.from(failAfter('half', failure));
        await expect(subject.store.putInput(source, { maxBytes: 100 })).rejects.toBe(failure);
        expect(await subject.leftovers()).toEqual([]);
      });

      it('leave nothing behind when their source is cut off', async () => {
        const source = new Readable({ read: () => undefined });
        source.push('half');
        const put = subject.store.putInput(source, { maxBytes: 100 });
        setImmediate(() => source.destroy());
        await expect(put).rejects.toThrow();
        expect(await subject.leftovers()).toEqual([]);
      });

      it('leave nothing behind when the caller stops', async () => {
        const source = new Readable({ read: () => undefined });
        source.push('half');
        const controller = new AbortController();
        const put = subject.store.putInput(source, { maxBytes: 100, signal: controller.signal });
        setImmediate(() => controller.abort());
        await expect(put).rejects.toMatchObject({ code: 'canceled' });
        expect(source.destroyed).toBe(true);
        expect(await subject.leftovers()).toEqual([]);
      });
    });

    describe('published outputs', () => {
      it('can be read back under their key', async () => {
        const stored = await subject.store.publish(await file('a take'), 'outputs/job_1/output.mp4');
        expect(stored).toEqual({ key: 'outputs/job_1/output.mp4', sizeBytes: 6 });
        expect(await subject.store.stat(stored.key)).toEqual(stored);
        expect((await readAll(subject.store, stored.key)).toString()).toBe('a take');
      });

      it('replace what was there without disturbing who is reading it', async () => {
        const key = 'outputs/job_1/output.mp4';
        await subject.store.publish(await file('first'), key);
        const reading = await subject.store.read(key);
        await subject.store.publish(await file('second'), key);
        expect((await buffer(reading)).toString()).toBe('first');
        expect((await readAll(subject.store, key)).toString()).toBe('second');
      });

      it('are whole for every reader while several writers publish the same key', async () => {
        const key = 'outputs/job_1/output.mp4';
        const contents = Array.from({ length: 8 }, (_, index) => Buffer.alloc(200_000, index + 1));
        const paths = await Promise.all(contents.map((content, index) => file(content, `take-${index}`)));
        await subject.store.publish(await file(Buffer.alloc(200_000), 'take-first'), key);
        const [reads] = await Promise.all([
          Promise.all(Array.from({ length: 8 }, () => readAll(subject.store, key))),
          Promise.all(paths.map((path) => subject.store.publish(path, key))),
        ]);
        for (const read of reads) {
          expect(read.byteLength).toBe(200_000);
          expect(new Set(read).size).toBe(1);
        }
      });
    });

    describe('ranges', () => {
      it.each([
        [0, 0, 'a'],
        [2, 4, 'cde'],
        [9, 9, 'j'],
        [0, 9, 'abcdefghij'],
      ])('from %i to %i include both ends', async (start, end, expected) => {
        const key = await putText(subject.store, 'abcdefghij');
        expect((await readAll(subject.store, key, { start, end })).toString()).toBe(expected);
      });

      it.each([
        [-1, 3],
        [4, 3],
        [0, 10],
        [0.5, 3],
      ])('from %d to %d of ten bytes are refused', async (start, end) => {
        const key = await putText(subject.store, 'abcdefghij');
        await expect(subject.store.read(key, { start, end })).rejects.toMatchObject({ code: 'request_invalid' });
      });
    });

    describe('materialized artifacts', () => {
      it('are local files with the same content, and replace what was there', async () => {
        const key = await putText(subject.store, 'content');
        const path = await file('something older', 'clip');
        await subject.store.materialize(key, path);
        await subject.store.materialize(key, path);
        expect(await readFile(path, 'utf8')).toBe('content');
      });

      it('outlive the deletion of the artifact, and the artifact outlives theirs', async () => {
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

    describe('what is not there', () => {
      const missing = `inputs/${'0'.repeat(64)}`;

      it('has no facts, and cannot be read or materialized', async () => {
        expect(await subject.store.stat(missing)).toBeUndefined();
        await expect(subject.store.read(missing)).rejects.toMatchObject({ code: 'not_found' });
        await expect(subject.store.materialize(missing, join(dir, 'target'))).rejects.toMatchObject({
          code: 'not_found',
        });
      });

      it('can be deleted, once and again', async () => {
        await subject.store.publish(await file('a take'), 'outputs/job_1/output.mp4');
        await subject.store.delete('outputs/job_1/output.mp4');
        await subject.store.delete('outputs/job_1/output.mp4');
        expect(await subject.store.stat('outputs/job_1/output.mp4')).toBeUndefined();
        expect(await subject.leftovers()).toEqual([]);
      });
    });

    it.each(hostileKeys)('refuses the key %j', async (key) => {
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
  'elsewhere/job_1/x',
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
