import { Ledger, systemClock, toMicros } from '@lipsync/core/host';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorizationOf, form, json, startApi, tenantKeys, type RunningApi, type Tenant } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ keys: tenantKeys });
});
afterAll(() => api.close());

const as = (caller: Tenant, method = 'GET'): RequestInit => ({
  method,
  headers: authorizationOf(caller),
});

async function submit(caller: Tenant, path = '/lipsync', body = form()): Promise<string> {
  const { id } = await json(await api.fetch(path, { ...as(caller, 'POST'), body }));
  return id;
}

function qualityForm(): FormData {
  const body = new FormData();
  body.append('video', new Blob(['clip']), 'clip.mp4');
  return body;
}

/** Every route that names a job, with its status for a key that may access the job. */
const routes = (id: string, qualityId: string): readonly (readonly [string, string, number])[] => [
  ['GET', `/lipsync/${id}`, 200],
  ['GET', `/lipsync/${id}/output`, 200],
  ['GET', `/lipsync/${id}/events`, 200],
  ['POST', `/lipsync/${id}/cancel`, 409],
  ['GET', `/quality/${qualityId}`, 200],
  ['GET', `/quality/${qualityId}/events`, 200],
  ['POST', `/quality/${qualityId}/cancel`, 202],
];

describe('jobs of several keys', () => {
  it('A job is erased by its key or an admin key, and by no other.', async () => {
    for (const allowed of ['alice', 'operator'] as const) {
      const path = `/lipsync/${await submit('alice')}`;
      expect((await api.fetch(path, as('bob', 'DELETE'))).status).toBe(404);
      expect((await api.fetch(path, as(allowed, 'DELETE'))).status).toBe(204);
    }
  });

  it('A user is erased within the key of the caller, and by an admin key within all keys.', async () => {
    const body = () => form({ user_id: 'ann' });
    const [ofAlice, ofBob] = [await submit('alice', '/lipsync', body()), await submit('bob', '/lipsync', body())];
    const statuses = async () =>
      Promise.all([ofAlice, ofBob].map(async (id) => (await api.fetch(`/lipsync/${id}`, as('operator'))).status));
    expect((await api.fetch('/users/ann', as('bob', 'DELETE'))).status).toBe(204);
    expect(await statuses()).toEqual([200, 404]);
    expect((await api.fetch('/users/ann', as('operator', 'DELETE'))).status).toBe(204);
    expect(await statuses()).toEqual([404, 404]);
  });

  it('Another key gets 404 for every route of a job, which the owner and an admin key may use.', async () => {
    const id = await submit('alice');
    await api.complete(id, 'video');
    for (const allowed of ['alice', 'operator'] as const) {
      const qualityId = await submit('alice', '/quality', qualityForm());
      for (const [method, path, status] of routes(id, qualityId)) {
        const refused = await api.fetch(path, as('bob', method));
        expect(await json(refused), path).toMatchObject({ status: 404, code: 'not_found' });
        const response = await api.fetch(path, as(allowed, method));
        expect(response.status, `${method} ${path} of ${allowed}`).toBe(status);
        await response.body?.cancel();
      }
    }
  });

  it('Another key gets 404 for every route of a batch.', async () => {
    const items = [{ video_url: 'https://example.org/a.mp4', audio_url: 'https://example.org/a.wav' }];
    const headers = { ...as('alice').headers, 'Content-Type': 'application/json' };
    const created = await api.fetch('/batches', { method: 'POST', headers, body: JSON.stringify({ items }) });
    const { id } = await json(created);
    for (const [method, path] of [
      ['GET', `/batches/${id}`],
      ['POST', `/batches/${id}/cancel`],
      ['GET', `/batches/${id}/output`],
      ['POST', `/batches/${id}/pause`],
      ['POST', `/batches/${id}/resume`],
      ['DELETE', `/batches/${id}`],
    ] as const) {
      const refused = await api.fetch(path, as('bob', method));
      expect([refused.status, (await json(refused)).code], `${method} ${path}`).toEqual([404, 'not_found']);
    }
    expect(await api.store.get(id)).toMatchObject({ owner: 'alice', cancelRequested: false });
    expect(await json(await api.fetch('/batches', as('bob')))).toMatchObject({ batches: [] });
    expect(await json(await api.fetch('/batches', as('alice')))).toMatchObject({ batches: [{ id }] });
    expect((await api.fetch(`/batches/${id}`, as('operator'))).status).toBe(200);
    expect((await api.fetch(`/batches/${id}`, as('alice', 'DELETE'))).status).toBe(204);
  });

  it('Another key cannot cancel a job.', async () => {
    const id = await submit('alice');
    await api.fetch(`/lipsync/${id}/cancel`, as('bob', 'POST'));
    expect(await api.store.get(id)).toMatchObject({ status: 'queued', cancelRequested: false });
  });

  it('A list contains the jobs of its key only, and all jobs for an admin key.', async () => {
    const ofAlice = await submit('alice');
    const ofBob = await submit('bob');
    const listed = async (caller: Tenant): Promise<string[]> => {
      const { jobs } = await json(await api.fetch('/lipsync?limit=100', as(caller)));
      return jobs.map(({ id }: { id: string }) => id);
    };
    const [alice, bob, operator] = [await listed('alice'), await listed('bob'), await listed('operator')];
    expect([alice.includes(ofAlice), alice.includes(ofBob)]).toEqual([true, false]);
    expect(bob).toEqual([ofBob]);
    expect(operator).toEqual(expect.arrayContaining([ofAlice, ofBob]));
    const { jobs } = await json(await api.fetch('/quality?status=queued', as('bob')));
    expect(jobs).toEqual([]);
  });

  it('Costs are those of the key, and of all keys for an admin key.', async () => {
    const connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
    const state = new RedisStateStore({ connection });
    const caps = { dailyMicros: null, monthlyMicros: null, userDailyMicros: null };
    const ledger = new Ledger({ state, clock: systemClock, caps });
    for (const user of ['alice', 'carol'])
      await ledger.reserve({
        id: `${user}-0`,
        jobId: user,
        provider: 'heygen',
        user,
        atMs: Date.now(),
        micros: toMicros(1_000),
      });
    connection.disconnect();
    const usersOf = async (caller: Tenant): Promise<unknown> =>
      (await json(await api.fetch('/costs?group_by=user', as(caller)))).rows.map(({ user }: { user: unknown }) => user);
    expect([await usersOf('alice'), await usersOf('bob')]).toEqual([['alice'], []]);
    expect(await usersOf('operator')).toEqual(['alice', 'carol']);
  });

  it('A job that was created without keys is one of admin keys only.', async () => {
    const id = await api.recordJob();
    expect((await api.fetch(`/lipsync/${id}`, as('alice'))).status).toBe(404);
    expect((await api.fetch(`/lipsync/${id}`, as('operator'))).status).toBe(200);
  });
});
