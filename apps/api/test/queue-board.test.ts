import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobEvent } from '@lipsync/core/host';
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

  it('An entry shows the clip, the plan, the wait, the progress and the log of its job, and nothing once it is erased.', async () => {
    const { id } = await json(await api.post('/lipsync', form({ method: 'preview' })));
    const attempt = {
      provider: 'preview',
      outcome: 'failed',
      code: 'media_failed',
      message: 'ffmpeg failed',
      startedAtMs: 1,
    } as const;
    const rest = { endedAtMs: 2, costMicros: 0, operation: null, operationAtMs: null, transientFailures: 0 } as const;
    const events: readonly JobEvent[] = [
      { type: 'run_started', atMs: 1 },
      { type: 'attempts_changed', run: 1, attempts: [{ ...attempt, ...rest }] },
      { type: 'progressed', run: 1, stage: 'rendering', progress: 42, message: 'Rendering.' },
      {
        type: 'parked',
        run: 1,
        untilMs: Date.now() + 60_000,
        message: 'The output folder is full.',
        waitsForStorage: true,
      },
    ];
    for (const event of events) await api.store.append(id, event);
    const read = async (path: string) => json(await api.fetch(`/admin/queues/api/queues${path}`));
    const { queues } = await read('?activeQueue=lipsync-render&status=latest');
    const render = queues.find(({ name }: { name: string }) => name === 'lipsync-render');
    expect(render).toMatchObject({ displayName: 'Render', description: expect.stringContaining('wait for storage') });
    expect(render.jobs.find((entry: { id: string }) => entry.id === id)).toMatchObject({
      name: 'clip.mp4 · preview · The output folder is full.',
      progress: 42,
      data: { jobId: id, status: 'processing', runsAgainAt: expect.any(String) },
    });
    expect((await read(`/lipsync-render/${id}`)).job).toMatchObject({ progress: 42 });
    const logs: readonly string[] = await read(`/lipsync-render/${id}/logs`);
    expect(logs).toContainEqual(expect.stringContaining('preview: failed media_failed ffmpeg failed'));
    expect(logs.at(-1)).toBe('now: waiting, 42 %: The output folder is full.');

    const secondId = (await json(await api.post('/lipsync', form({ method: 'preview', user_id: 'ann' })))).id;
    await api.fetch(`/lipsync/${secondId}`, { method: 'DELETE' });
    expect(
      await (await api.fetch('/admin/queues/api/queues?activeQueue=lipsync-render&status=latest')).text(),
    ).not.toContain(secondId);
    expect(await read(`/lipsync-render/${secondId}/logs`)).toEqual([]);
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
