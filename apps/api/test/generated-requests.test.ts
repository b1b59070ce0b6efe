import { expect, it } from 'vitest';
import { fuzzApi } from './request-fuzzer.ts';
import { form, json, startApi } from './running-api.ts';

it('Requests that are generated from the reference get documented answers and leave no file.', async () => {
  const api = await startApi();
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  const created = [
    await api.post('/lipsync', form()),
    await api.postJson('/quality', { video_url: 'https://example.org/clip.mp4' }),
  ];
  const ids = await Promise.all(created.map(async (response): Promise<string> => (await json(response)).id));
  const report = await fuzzApi({
    url: api.url,
    document: await json(await api.fetch('/openapi.json')),
    ids,
    count: 400,
    seed: 1,
    file: new TextEncoder().encode('file'),
  });
  expect(report.problems).toEqual([]);
  expect(report.sent).toBe(400);
  expect([...report.byStatus.keys()]).toEqual(expect.arrayContaining([200, 202, 400, 404, 415, 422]));
  for (const path of ['/lipsync', '/quality']) {
    const { jobs } = await json(await api.fetch(`${path}?limit=100`));
    for (const { id } of jobs) await api.fetch(`${path}/${id}`, { method: 'DELETE' });
  }
  expect(await api.storedFiles()).toEqual([]);
}, 60_000);
