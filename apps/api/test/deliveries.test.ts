import { newWebhookRecord, ReceiverSwitches } from '@lipsync/core/host';
import { deliveryPageViewSchema, deliveryViewSchema, receiverPageViewSchema } from '@lipsync/core/contract';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { json, startApi, type RunningApi } from './running-api.ts';

const keys = ['alice', 'bob'].map((name) => ({ name, secret: `secret-of-the-key-${name}`, isAdmin: false }));
const admin = { name: 'root', secret: 'secret-of-the-admin', isAdmin: true };

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ keys: [...keys, admin] });
  await record('msg_job_1_0', 'alice');
  await record('msg_job_2_0', 'alice');
  await record('msg_job_3_0', 'bob');
  const { runs: run } = await api.store.append('msg_job_1_0', { type: 'run_started', atMs: 2_000 });
  const attempt = { atMs: 3_000, status: 410, reason: 'The receiver answered 410 (gone).' };
  await api.store.append('msg_job_1_0', { type: 'webhook_tried', run, attempt, replays: 0, nextTryAtMs: null });
  const failure = { code: 'webhook_failed', message: attempt.reason, warnings: [] } as const;
  await api.store.append('msg_job_1_0', { type: 'failed', run, atMs: 3_000, ...failure });
});
afterAll(() => api.close());

async function record(id: string, owner: string): Promise<void> {
  const subjectId = id.slice('msg_'.length, -'_0'.length);
  const url = 'https://example.org/hook?token=secret';
  const message = { url, event: 'lipsync.completed', subjectId, body: '{}' };
  await api.store.create(newWebhookRecord({ ...message, id, owner, nowMs: 1_000 }));
}

function authorization(name: string): { readonly Authorization: string } {
  const secret = [...keys, admin].find((key) => key.name === name)?.secret ?? '';
  return { Authorization: `Bearer ${secret}` };
}

function call(path: string, name: string, method = 'GET'): Promise<Response> {
  return api.fetch(`/webhooks/deliveries${path}`, { method, headers: authorization(name) });
}

async function list(query: string, name: string): Promise<string[]> {
  const page = deliveryPageViewSchema.parse(await json(await call(query, name)));
  return page.deliveries.map(({ id }) => id);
}

it('A key lists its own deliveries, newest first, and an admin key those of all keys.', async () => {
  expect(await list('', 'alice')).toEqual(['msg_job_2_0', 'msg_job_1_0']);
  expect(await list('', 'bob')).toEqual(['msg_job_3_0']);
  expect(await list('', 'root')).toHaveLength(3);
});

it('Deliveries are found by job and by status; those of another key are not.', async () => {
  expect(await list('?job_id=job_1', 'alice')).toEqual(['msg_job_1_0']);
  expect(await list('?status=queued', 'alice')).toEqual(['msg_job_2_0']);
  expect(await list('?job_id=job_3', 'alice')).toEqual([]);
  expect((await call('?job=job_1', 'alice')).status).toBe(422);
});

it('A delivery shows its tries, and its address without the query.', async () => {
  const page = await json(await call('?job_id=job_1', 'alice'));
  expect(page.deliveries).toEqual([
    {
      id: 'msg_job_1_0',
      event: 'lipsync.completed',
      job_id: 'job_1',
      url: 'https://example.org/hook',
      status: 'failed',
      tries: [{ at: '1970-01-01T00:00:03.000Z', http_status: 410, reason: 'The receiver answered 410 (gone).' }],
      next_try_at: null,
      created_at: '1970-01-01T00:00:01.000Z',
      completed_at: '1970-01-01T00:00:03.000Z',
    },
  ]);
});

it('A replay queues an ended delivery again; another key and another kind of job get 404.', async () => {
  expect((await call('/msg_job_1_0/replay', 'bob', 'POST')).status).toBe(404);
  expect((await call('/msg_unknown_0/replay', 'alice', 'POST')).status).toBe(404);
  const response = await call('/msg_job_1_0/replay', 'alice', 'POST');
  expect(response.status).toBe(202);
  const delivery = deliveryViewSchema.parse(await json(response));
  expect(delivery).toMatchObject({ status: 'queued', completed_at: null, tries: [{ http_status: 410 }] });
  expect(delivery.next_try_at).not.toBeNull();
});

it('A key lists its receivers that are switched off and switches them on; those of another key it cannot see.', async () => {
  const connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
  const switches = new ReceiverSwitches({ state: new RedisStateStore({ connection }) });
  await switches.switchOff({ owner: 'alice', url: 'https://example.org/hook?token=secret' }, 'msg_job_1_0', 3_000);
  await switches.switchOff({ owner: 'bob', url: 'https://example.org/bob' }, 'msg_erased_0', 4_000);
  connection.disconnect();
  const callAs = (name: string, path = '', method = 'GET') =>
    api.fetch(`/webhooks/receivers${path}`, { method, headers: authorization(name) });
  const listAs = async (name: string) => receiverPageViewSchema.parse(await json(await callAs(name))).receivers;
  expect(await listAs('alice')).toEqual([
    {
      id: expect.stringMatching(/^[\w-]{43}$/),
      key: 'alice',
      origin: 'https://example.org',
      url: 'https://example.org/hook',
      delivery_id: 'msg_job_1_0',
      off_since: '1970-01-01T00:00:03.000Z',
    },
  ]);
  const [bobs] = await listAs('bob');
  expect(bobs).toMatchObject({ key: 'bob', url: null, delivery_id: 'msg_erased_0' });
  expect(await listAs('root')).toHaveLength(2);

  expect((await callAs('alice', '?cursor=x')).status).toBe(422);
  expect((await callAs('alice', `/${bobs?.id}/switch-on`, 'POST')).status).toBe(404);
  expect((await callAs('alice', '/%00/switch-on', 'POST')).status).toBe(404);
  expect((await callAs('bob', `/${bobs?.id}/switch-on`, 'POST')).status).toBe(204);
  expect((await callAs('bob', `/${bobs?.id}/switch-on`, 'POST')).status).toBe(404);
  expect(await listAs('bob')).toEqual([]);
});
