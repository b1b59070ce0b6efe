import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorizationOf, form, json, startApi, tenantKeys, type RunningApi, type Tenant } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ keys: tenantKeys });
});
afterAll(() => api.close());

function fetchAs(caller: Tenant, path: string, init: RequestInit = {}): Promise<Response> {
  return api.fetch(path, { ...init, headers: authorizationOf(caller) });
}

async function submit(caller: Tenant, fields: Readonly<Record<string, string>>): Promise<string> {
  return (await json(await fetchAs(caller, '/lipsync', { method: 'POST', body: form(fields) }))).id;
}

async function listed(caller: Tenant, query: string): Promise<string[]> {
  const { jobs } = await json(await fetchAs(caller, `/lipsync?${query}`));
  return jobs.map(({ id }: { id: string }) => id);
}

describe('lists of jobs', () => {
  it('A list is filtered by user, method, time and one metadata field, within the key.', async () => {
    const [ann, plain, bobs] = [
      await submit('alice', { user_id: 'ann', method: 'preview', metadata: '{"orderId":42,"a.b":"x y"}' }),
      await submit('alice', {}),
      await submit('bob', { user_id: 'ann' }),
    ];
    expect(await json(await fetchAs('alice', `/lipsync/${ann}`))).toMatchObject({ user_id: 'ann' });
    expect(await json(await fetchAs('alice', `/lipsync/${plain}`))).toMatchObject({ user_id: null });
    expect(await listed('alice', 'user_id=ann')).toEqual([ann]);
    expect(await listed('operator', 'user_id=ann')).toEqual([bobs, ann]);
    expect(await listed('alice', 'method=auto')).toEqual([plain]);
    expect(await listed('alice', 'metadata.orderId=42')).toEqual([ann]);
    expect(await listed('operator', 'metadata.a.b=x+y&status=queued')).toEqual([ann]);
    const { created_at: createdAt } = await json(await fetchAs('alice', `/lipsync/${plain}`));
    expect(await listed('alice', `from=${createdAt}`)).toEqual([plain]);
    expect(await listed('alice', `to=${createdAt}`)).toEqual([ann]);
    const today = createdAt.slice(0, 10);
    expect(await listed('alice', `from=${today}&to=${today}`)).toEqual([plain, ann]);
    expect(await listed('alice', 'to=2020-01-01')).toEqual([]);
  });

  it('A query reports every problem under the name that the caller used.', async () => {
    const query = 'userId=1&user_id=&method=other&from=yesterday&limit=0&metadata.firstKey=1&metadata.secondKey=2';
    const response = await fetchAs('alice', `/lipsync?${query}`);
    expect(response.status).toBe(422);
    const { errors } = await json(response);
    expect(errors.map(({ field }: { field: string }) => field).sort()).toEqual(
      ['from', 'limit', 'metadata.secondKey', 'method', 'userId', 'user_id'].sort(),
    );
    expect(await json(await fetchAs('alice', '/lipsync?from=2026-01-02&to=2026-01-01'))).toMatchObject({
      errors: [{ field: 'to', message: 'must be later than from' }],
    });
    expect((await fetchAs('alice', '/quality?method=auto')).status).toBe(422);
    expect((await fetchAs('alice', '/quality?user_id=ann')).status).toBe(200);
  });
});
