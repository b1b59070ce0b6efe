import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashFile, hashStream } from './file-hash.ts';

const content = Buffer.alloc(2_500_000, 7);
const sha256 = createHash('sha256').update(content).digest('hex');

describe('file hash', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'file-hash-'));
    path = join(folder, 'file');
    await writeFile(path, content);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('A file and a stream of the same bytes have the same size and SHA-256.', async () => {
    expect(await hashFile(path)).toEqual({ sizeBytes: content.byteLength, sha256 });
    const chunks = Readable.from([content.subarray(0, 10), content.subarray(10)]);
    expect(await hashStream(chunks)).toEqual({ sizeBytes: content.byteLength, sha256 });
  });

  it('Hashing a missing file throws the error of the file system.', async () => {
    await expect(hashFile(join(folder, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('Hashing stops when the signal is aborted before or during the read.', async () => {
    await expect(hashFile(path, AbortSignal.abort())).rejects.toMatchObject({ code: 'canceled' });
    const endless = new Readable({ read: () => undefined });
    endless.push('half');
    const controller = new AbortController();
    async function* abortAfterFirst(): AsyncGenerator<Buffer> {
      for await (const chunk of endless) {
        controller.abort();
        yield chunk;
      }
    }
    await expect(hashStream(abortAfterFirst(), controller.signal)).rejects.toMatchObject({ code: 'canceled' });
    expect(endless.destroyed).toBe(true);
  });
});
