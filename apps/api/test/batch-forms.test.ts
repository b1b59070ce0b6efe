import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { batchItemId } from '@lipsync/core/host';
import { batchViewSchema } from '@lipsync/core/contract';
import { json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ maxBatchUploadBytes: 300_000 });
});
afterAll(() => api.close());

const url = 'https://example.org/speech.wav';

/** A form with this manifest, and files by name with their content; the part of each file is named `files`. */
function batchForm(manifest: string | readonly string[], files: Readonly<Record<string, string | Uint8Array>> = {}) {
  const form = new FormData();
  const text = typeof manifest === 'string' ? manifest : manifest.join('\n');
  form.append('manifest', new Blob([text]), 'batch.csv');
  for (const [name, content] of Object.entries(files)) form.append('files', new Blob([Buffer.from(content)]), name);
  return form;
}

const send = (form: FormData, headers: Record<string, string> = {}) => api.post('/batches', form, headers);

async function create(form: FormData, headers: Record<string, string> = {}) {
  const response = await send(form, headers);
  const body = await json(response);
  expect([response.status, body.detail]).toEqual([202, undefined]);
  return { batch: batchViewSchema.parse(body), response };
}

/** The problems of a form, which leaves neither a batch nor a file. */
async function refuse(form: FormData): Promise<string[]> {
  const read = async () => [
    (await api.store.list({ kind: 'batch', limit: 100 })).records.length,
    await api.storedFiles(),
  ];
  const before = await read();
  const response = await send(form);
  const { errors } = await json(response);
  expect(response.status).toBe(422);
  expect(await read()).toEqual(before);
  return errors.map(({ field, message }: { field: string; message: string }) => `${field} ${message}`);
}

describe('POST /batches with a CSV file and files', () => {
  it('Rows name files and URLs, a file of several rows is stored once, and columns and fields are options.', async () => {
    const before = await api.storedFiles();
    const form = batchForm(
      ['video,audio,sync_mode,max_cost_usd,output_name', 'a.mp4,b.wav,bounce,0.5,intro.mp4', `clips/a.mp4,${url},,,`],
      { 'a.mp4': 'clip', 'b.wav': 'speech' },
    );
    form.append('silence_mode', 'keep');
    form.append('user_id', 'forms');
    form.append('metadata', '{"campaign":"spring"}');
    // The second row names the file by another path than the first one.
    expect((await send(form)).status).toBe(422);
    form.set('manifest', new Blob([`video,audio,sync_mode\na.mp4,b.wav,bounce\na.mp4,${url},\n`]), 'batch.csv');
    const { batch } = await create(form);
    expect(batch).toMatchObject({ user_id: 'forms', metadata: { campaign: 'spring' }, summary: { total: 2 } });
    expect(
      batch.results.map(({ output_name: name, request }) => [name, request.sync_mode, request.silence_mode]),
    ).toEqual([
      ['0001-a.mp4', 'bounce', 'keep'],
      ['0002-a.mp4', 'loop', 'keep'],
    ]);
    const jobs = await Promise.all([0, 1].map((index) => api.store.get(batchItemId(batch.id, index))));
    expect(jobs).toMatchObject([
      { spec: { options: { optimize: 'cost' }, video: { kind: 'artifact', name: 'a.mp4' }, audio: { name: 'b.wav' } } },
      { spec: { video: { kind: 'artifact', name: 'a.mp4' }, audio: { kind: 'url', url } } },
    ]);
    expect(await api.storedFiles()).toHaveLength(before.length + 2);
    const erased = await api.fetch(`/lipsync/${batchItemId(batch.id, 0)}`, { method: 'DELETE' });
    expect([erased.status, (await api.storedFiles()).length]).toEqual([204, before.length + 1]);
    expect((await api.fetch(`/batches/${batch.id}`, { method: 'DELETE' })).status).toBe(204);
    expect(await api.storedFiles()).toEqual(before);
  });

  it('Files are also found by the names of their parts, by their last path segment, and with composed letters.', async () => {
    const form = batchForm('\ufeffvideo;audio\r\nmine/clip.mp4;"u\u0308.wav"\r\n;\r\n', { 'clip.mp4': 'clip' });
    form.append('ü.wav', new Blob(['speech']), 'blob');
    const { batch } = await create(form);
    expect(batch.results).toMatchObject([{ request: { video: 'clip.mp4' } }]);
    const text = new FormData();
    text.append('manifest', `video,audio\nhttps://example.org/a.mp4,${url}\n`);
    expect((await create(text)).batch.summary.total).toBe(1);
  });

  it('All problems of all rows, files and fields are listed in one problem document.', async () => {
    const form = batchForm(
      [
        'video,audio,priority,output_name,video_url,speed',
        'a.mp4,none.wav,99,,,',
        'ftp://example.org/a,,,../b,,',
        `a.mp4,${url},,x.mp4,https://example.org/a,`,
        `a.mp4,${url},,X.mp4,,9`,
        `twice.mp4,${url},,,,`,
      ],
      { 'a.mp4': 'clip', 'b.wav': 'speech', 'empty.wav': '' },
    );
    form.append('files', new Blob(['one']), 'twice.mp4');
    form.append('files', new Blob(['two']), 'twice.mp4');
    form.append('sync_mode', 'sideways');
    form.append('items', '[]');
    expect(await refuse(form)).toEqual([
      'empty.wav is an empty file',
      'items cannot be sent in a form',
      'b.wav is a file that no row of the manifest names',
      'empty.wav is a file that no row of the manifest names',
      expect.stringMatching(/^sync_mode /),
      expect.stringMatching(/^items\.0\.priority .*\(line 2\)$/),
      'items.0.audio names the file "none.wav", which the form does not have (line 2)',
      expect.stringMatching(/^items\.1\.video .*\(line 3\)$/),
      'items.1.audio is missing (line 3)',
      expect.stringMatching(/^items\.1\.output_name .*\(line 3\)$/),
      'items.2.video_url is no column of a manifest: "video" has files and URLs (line 4)',
      expect.stringMatching(/^items\.3\.speed .*\(line 5\)$/),
      'items.4.video names "twice.mp4", which 2 files of the form have as name (line 6)',
    ]);
  });

  it.each([
    ['no manifest', undefined, [expect.stringMatching(/^manifest is missing: /)]],
    ['an empty manifest', '', ['manifest is empty']],
    ['a missing column', 'video\na.mp4', ['manifest lacks the column "audio"']],
    [
      'a column twice and no rows',
      'video,audio,video\n',
      ['manifest has the column "video" twice', 'manifest has no items'],
    ],
    [
      'a quote that never closes',
      `video,audio\na.mp4,"${url}\nb.mp4,c`,
      ['manifest has a quote that is never closed, on line 2 or later'],
    ],
    ['501 rows', `video,audio\n${`a.mp4,${url}\n`.repeat(501)}`, ['manifest has more than 500 items']],
    ['a manifest of more than 4 MiB', 'x'.repeat(4_194_305), ['manifest is larger than 4194304 bytes']],
    [
      'equal output names',
      `video,audio,output_name\n${`a.mp4,${url},a.mp4\n`.repeat(2)}`,
      [expect.stringMatching(/^items\.1\.output_name /)],
    ],
    [
      'two folders with a file of one name',
      `video,audio\na/a.mp4,${url}\nb/a.mp4,${url}\n`,
      [expect.stringMatching(/^items\.1\.video names "b\/a.mp4"/)],
    ],
  ])('A form with %s is refused, and its files are not kept.', async (_, manifest, problems) => {
    const form = batchForm(manifest ?? '', { 'a.mp4': 'clip that is refused' });
    if (manifest === undefined) form.delete('manifest');
    expect(await refuse(form)).toEqual(problems);
  });

  it('A row that names a folder is refused by the text of its cell.', async () => {
    const problems = await refuse(batchForm(`video,audio\nclips/,${url}\n`, { 'a.mp4': 'clip' }));
    expect(problems.join()).toContain('names the file "clips/", which the form does not have');
  });

  it('A row of a form does not search all of its files, which would block the service for seconds.', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `${index}.mp4`);
    const form = batchForm(
      ['video,audio', ...names.map((name) => `${name},${url}`)],
      Object.fromEntries(names.map((name) => [name, name])),
    );
    const normalize = vi.spyOn(String.prototype, 'normalize');
    try {
      const { batch } = await create(form);
      expect(batch.summary.total).toBe(100);
      expect(normalize.mock.calls.length).toBeLessThan(3_000);
    } finally {
      normalize.mockRestore();
    }
  });

  it('Files that are too large, alone or together, are refused with 413 and leave no file.', async () => {
    const before = await api.storedFiles();
    const large = new Uint8Array(api.maxUploadBytes + 1);
    const half = new Uint8Array(160_000);
    for (const files of [{ 'a.mp4': large }, { 'a.mp4': half, 'b.mp4': half }]) {
      const response = await send(batchForm(`video,audio\na.mp4,${url}\n`, files));
      expect([response.status, (await json(response)).code]).toEqual([413, 'payload_too_large']);
    }
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A repeated form with an Idempotency-Key compares by content, whatever its boundary, order and file names.', async () => {
    const headers = { 'Idempotency-Key': 'form-1' };
    const rows = (clip: string, speech: string) => `video,audio\n${clip},${speech}\n${clip},${url}\n`;
    const { batch } = await create(batchForm(rows('a.mp4', 'b.wav'), { 'a.mp4': 'A', 'b.wav': 'B' }), headers);
    const stored = await api.storedFiles();
    for (const form of [
      batchForm(rows('a.mp4', 'b.wav'), { 'b.wav': 'B', 'a.mp4': 'A' }),
      batchForm(rows('c.mp4', 'd.wav').replaceAll('\n', '\r\n'), { 'd.wav': 'B', 'c.mp4': 'A' }),
    ]) {
      const { batch: repeated, response } = await create(form, headers);
      expect([repeated.id, response.headers.get('Idempotent-Replayed')]).toEqual([batch.id, 'true']);
    }
    for (const form of [
      batchForm(rows('a.mp4', 'b.wav'), { 'a.mp4': 'A', 'b.wav': 'C' }),
      batchForm(
        rows('a.mp4', 'b.wav')
          .replace('audio\n', 'audio,output_name\n')
          .replaceAll(/([^e])\n/g, '$1,\n'),
        {
          'a.mp4': 'A',
          'b.wav': 'D',
        },
      ),
    ]) {
      const other = await send(form, headers);
      expect([other.status, (await json(other)).code]).toEqual([422, 'idempotency_mismatch']);
    }
    expect(await api.storedFiles()).toEqual(stored);
  });

  it('A form that ends early, or that has too many files, is refused, and none of its files is kept.', async () => {
    const before = await api.storedFiles();
    const part = (name: string, content: string) =>
      `--x\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\n\r\n${content}\r\n`;
    const manifest = part('manifest', `video,audio\na.mp4,${url}\n`);
    const answer = async (body: string) => {
      const headers = { 'Content-Type': 'multipart/form-data; boundary=x' };
      const response = await api.post('/batches', body, headers);
      return [response.status, (await json(response)).detail];
    };
    const malformed = 'The multipart form is malformed or incomplete. Send it again.';
    expect(await answer(`${manifest}${part('a.mp4', 'clip')}`)).toEqual([400, malformed]);
    const many = Array.from({ length: 1_001 }, (_, index) => part(`${index}.mp4`, 'x')).join('');
    expect(await answer(`${manifest}${many}--x--\r\n`)).toEqual([
      422,
      'The form has too many parts. Send one "manifest" and at most 1000 files and each field once.',
    ]);
    expect(await api.storedFiles()).toEqual(before);
  });

  it('Without Redis a form is refused, and none of its files is kept.', async () => {
    const before = await api.storedFiles();
    await api.redis.kill();
    const response = await send(batchForm(`video,audio\na.mp4,${url}\n`, { 'a.mp4': 'lost' }));
    expect([response.status, (await json(response)).code]).toEqual([503, 'resource_exhausted']);
    expect(await api.storedFiles()).toEqual(before);
    await api.redis.restart();
  });

  it('A batch of 500 items with 501 files is accepted.', async () => {
    const names = Array.from({ length: 500 }, (_, index) => `clip-${index}.mp4`);
    const files = Object.fromEntries([...names, 'speech.wav'].map((name) => [name, name]));
    const { batch } = await create(
      batchForm(`video,audio\n${names.map((name) => `${name},speech.wav\n`).join('')}`, files),
    );
    expect(batch.summary.total).toBe(500);
    expect((await api.fetch(`/batches/${batch.id}`, { method: 'DELETE' })).status).toBe(204);
  }, 60_000);
});
