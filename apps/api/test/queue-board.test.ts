import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

it('The request log shows the full path of a dashboard request, without its query.', async () => {
  const paths: unknown[] = [];
  const info = (fields: object): void => void paths.push('path' in fields ? fields.path : undefined);
  const logger = { debug: () => undefined, info, warn: () => undefined, error: () => undefined };
  const logged = await startApi({ logger });
  await using _ = { [Symbol.asyncDispose]: () => logged.close() };
  await (await logged.fetch('/admin/queues/?token=secret')).text();
  await expect.poll(() => paths).toContain('/admin/queues/');
});

describe('queue board', () => {
  it('The queue board loads nothing from other hosts.', async () => {
    const response = await api.fetch('/admin/queues/');
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toMatch(/https?:/);
  });

  it('The queue board serves its own scripts and styles.', async () => {
    const page = await (await api.fetch('/admin/queues/')).text();
    const assets = [...page.matchAll(/(?:src|href)="((?!https?:)[^"]+\.(?:js|css))"/g)].map(
      (match) => new URL(match[1] ?? '', `${api.url}/admin/queues/`).pathname,
    );
    expect(assets.length).toBeGreaterThan(0);
    for (const asset of assets) expect((await api.fetch(asset)).status, asset).toBe(200);
  });

  it('The queue board shows the queue of each lane, with entries that contain only a job id.', async () => {
    const { id } = await json(await api.post('/lipsync', form({ metadata: '{"secret":"hush"}' })));
    const answer = await (await api.fetch('/admin/queues/api/queues?activeQueue=lipsync-render&status=latest')).text();
    const { queues } = JSON.parse(answer);
    expect(queues.map(({ name }: { name: string }) => name).sort()).toEqual([
      'lipsync-cloud',
      'lipsync-fetch',
      'lipsync-render',
      'lipsync-webhook',
    ]);
    expect(answer).toContain(id);
    expect(answer).not.toContain('hush');
  });

  it('The queue board cannot change queues.', async () => {
    const { id } = await json(await api.post('/lipsync', form()));
    for (const path of [
      `/admin/queues/api/queues/lipsync-render/${id}/clean`,
      '/admin/queues/api/queues/lipsync-render/pause',
      '/admin/queues/api/queues/lipsync-render/empty',
    ]) {
      expect((await api.fetch(path, { method: 'PUT' })).status, path).toBe(405);
    }
    expect(await api.queuedPayload(id)).toEqual({ jobId: id });
  });
});
