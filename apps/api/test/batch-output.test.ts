import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { batchItemId } from '@lipsync/core/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPromise } from 'yauzl';
import { json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
let folder: string;
beforeAll(async () => {
  api = await startApi();
  folder = await mkdtemp(join(tmpdir(), 'batch-output-'));
});
afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

async function create(names: readonly (string | undefined)[]): Promise<string> {
  const items = names.map((output_name, index) => ({
    video_url: `https://example.org/a/clip%20${index}.mp4`,
    audio_url: 'https://example.org/a.wav',
    ...(output_name !== undefined && { output_name }),
  }));
  return (await json(await api.postJson('/batches', { items }))).id;
}

async function unzip(response: Response): Promise<Map<string, string>> {
  const path = join(folder, 'output.zip');
  const content = Buffer.from(await response.arrayBuffer());
  expect(Number(response.headers.get('Content-Length'))).toBe(content.length);
  await writeFile(path, content);
  const zip = await openPromise(path);
  const files = new Map<string, string>();
  for await (const entry of zip.eachEntry())
    files.set(entry.fileName, await text(await zip.openReadStreamPromise(entry)));
  return files;
}

/** Open files of this process below the outputs of a batch. */
async function openOutputs(id: string): Promise<readonly string[]> {
  const descriptors = await readdir('/proc/self/fd');
  const paths = await Promise.all(descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return paths.filter((path) => path.includes(id));
}

it('The zip has the finished videos under their names, and a manifest of all jobs.', async () => {
  const id = await create(['intro.mp4', undefined, undefined]);
  await api.complete(batchItemId(id, 0), 'first');
  await api.complete(batchItemId(id, 1), 'second');
  const response = await api.fetch(`/batches/${id}/output`);
  expect(response.headers.get('Content-Disposition')).toBe(`attachment; filename=${id}.zip`);
  const files = await unzip(response);
  expect([...files.keys()]).toEqual(['manifest.json', 'intro.mp4', '0002-clip_201.mp4']);
  expect([files.get('intro.mp4'), files.get('0002-clip_201.mp4')]).toEqual(['first', 'second']);
  expect(JSON.parse(files.get('manifest.json') ?? '')).toMatchObject({
    id,
    status: 'processing',
    summary: { total: 3, success: 2 },
    results: [
      { item: 0, status: 'completed', file: 'intro.mp4' },
      { item: 1, file: '0002-clip_201.mp4' },
      { item: 2, id: batchItemId(id, 2), status: 'queued', file: null },
    ],
  });
});

it('A client that leaves during the download leaves no open file, and a cancel does not end a download.', async () => {
  const id = await create(['a.mp4', 'b.mp4', 'c.mp4']);
  const content = 'x'.repeat(5_000_000);
  await api.complete(batchItemId(id, 0), content);
  await api.complete(batchItemId(id, 1), content);
  const left = await api.fetch(`/batches/${id}/output`);
  await left.body?.cancel();
  const download = await api.fetch(`/batches/${id}/output`);
  expect((await api.post(`/batches/${id}/cancel`)).status).toBe(202);
  expect((await unzip(download)).get('b.mp4')).toHaveLength(content.length);
  await expect.poll(() => openOutputs(id)).toEqual([]);
});

it('A download breaks off when the batch is deleted meanwhile, and an output cannot be named like the manifest.', async () => {
  const id = await create(['a.mp4', 'b.mp4', 'c.mp4', 'd.mp4']);
  const content = 'x'.repeat(5_000_000);
  for (const item of [0, 1, 2, 3]) await api.complete(batchItemId(id, item), content);
  const download = await api.fetch(`/batches/${id}/output`);
  expect((await api.fetch(`/batches/${id}`, { method: 'DELETE' })).status).toBe(204);
  await expect(download.arrayBuffer()).rejects.toThrow();
  const items = [
    { video_url: 'https://example.org/a', audio_url: 'https://example.org/b', output_name: 'Manifest.json' },
  ];
  expect(await json(await api.postJson('/batches', { items }))).toMatchObject({
    errors: [{ field: 'items.0.output_name' }],
  });
});

it('A video that was deleted because of its age is not in the zip, although an equal job keeps the file.', async () => {
  const id = await create(['a.mp4', 'b.mp4']);
  for (const item of [0, 1]) await api.complete(batchItemId(id, item), 'video');
  await api.store.append(batchItemId(id, 0), { type: 'files_deleted', files: 'output', atMs: Date.now() });
  expect([...(await unzip(await api.fetch(`/batches/${id}/output`))).keys()]).toEqual(['manifest.json', 'b.mp4']);
});
