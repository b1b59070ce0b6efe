import { listProviders, systemClock, type Attempt, silentLogger } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createMemoryState, createHeygenCallbackUrl, testAttempt } from '@lipsync/core/testing';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, startApi, type RunningApi } from './running-api.ts';

const heygenApiKey = 'the key';
const running = testAttempt({
  operation: { id: 'op', state: {} },
  operationAtMs: 1,
});

const providersWith = (apiKey: string) =>
  listProviders(configFromEnvironment({ HEYGEN_API_KEY: apiKey }), { state: createMemoryState().open() });

let api: RunningApi;
let producer: LipsyncProducer;
let close: () => Promise<void>;
let nowMs = 1_000_000;

beforeAll(async () => {
  api = await startApi({
    providers: providersWith(heygenApiKey),
    keys: [{ name: 'alice', secret: 'one', isAdmin: false }],
    clock: { nowMs: () => nowMs },
  });
  const connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
  producer = new LipsyncProducer({
    connection,
    store: new RedisJobStore({ connection }),
    clock: systemClock,
    logger: silentLogger,
  });
  close = async () => {
    await producer.close();
    connection.disconnect();
  };
});
afterAll(async () => {
  await close();
  await api.close();
});

/** Creates a job that is parked for an hour until its last operation ends. */
async function parkedJob(attempts: readonly Attempt[] = [running]): Promise<string> {
  const id = await api.recordJob();
  const { runs: run } = await api.store.append(id, { type: 'run_started', atMs: 1 });
  await api.store.append(id, { type: 'attempts_changed', run, attempts });
  await api.store.append(id, {
    type: 'parked',
    run,
    untilMs: Date.now() + 3_600_000,
    message: 'heygen is working on it.',
  });
  await delayEntry(id);
  return id;
}

async function delayEntry(id: string): Promise<void> {
  const queue = await producer.queue('cloud');
  await queue.remove(id);
  await queue.add('lipsync', { jobId: id }, { jobId: id, delay: 3_600_000 });
}

const stateOf = async (id: string): Promise<string> => (await producer.queue('cloud')).getJobState(id);
const pathOf = (id: string, index = 0, key = heygenApiKey): string =>
  createHeygenCallbackUrl('', key, `${id}-${index}`);

describe('HeyGen callbacks', () => {
  it('A callback without an API key wakes its job to poll its operation.', async () => {
    const id = await parkedJob();
    expect((await api.post(pathOf(id))).status).toBe(204);
    expect(await stateOf(id)).toBe('waiting');
  });

  it('The body of a callback has no effect.', async () => {
    const id = await parkedJob();
    const before = await api.store.get(id);
    const response = await api.post(
      pathOf(id),
      JSON.stringify({ event_type: 'video_translate.fail', event_data: { callback_id: 'job_other' } }),
      { 'Content-Type': 'application/json' },
    );
    expect(response.status).toBe(204);
    expect(await api.store.get(id)).toEqual(before);
    expect(
      (await api.post(pathOf(await parkedJob()), '{ no json', { 'Content-Type': 'application/json' })).status,
    ).toBe(204);
    expect((await api.post(pathOf(await parkedJob()), 'x'.repeat(1_000_000))).status).toBe(204);
  });

  it('A callback with a wrong token gets 404 and wakes no job.', async () => {
    const id = await parkedJob();
    for (const path of [
      pathOf(id, 0, 'a guess'),
      pathOf(id).replace(/\?.*/, ''),
      pathOf(id).replace(id, `${id}x`),
      `${pathOf(id)}&token=2`,
      '/callbacks/heygen/x?token=y',
    ]) {
      const response = await api.post(path);
      expect(response.status).toBe(404);
      expect(await json(response)).toMatchObject({ code: 'not_found' });
    }
    expect(await stateOf(id)).toBe('delayed');
  });

  it('A callback for an ended attempt, or for a job that does not wait, wakes no job.', async () => {
    const id = await parkedJob([
      { ...running, outcome: 'failed', code: 'provider_failed' },
      { ...running, provider: 'wav2lip' },
    ]);
    expect((await api.post(pathOf(id, 0))).status).toBe(204);
    const waitingForSlot = await parkedJob([]);
    expect((await api.post(pathOf(waitingForSlot, 0))).status).toBe(204);
    expect([await stateOf(id), await stateOf(waitingForSlot)]).toEqual(['delayed', 'delayed']);
    expect((await api.post(pathOf('job_gone'))).status).toBe(204);
  });

  it('A callback that is repeated within a second has no effect.', async () => {
    const id = await parkedJob();
    await api.post(pathOf(id));
    await delayEntry(id);
    nowMs += 999;
    expect((await api.post(pathOf(id))).status).toBe(204);
    expect(await stateOf(id)).toBe('delayed');
    nowMs += 1;
    await api.post(pathOf(id));
    expect(await stateOf(id)).toBe('waiting');
  });

  it('An OPTIONS request with a valid token is accepted and wakes no job.', async () => {
    const id = await parkedJob();
    expect((await api.fetch(pathOf(id), { method: 'OPTIONS' })).status).toBe(204);
    expect((await api.fetch(pathOf(id, 0, 'a guess'), { method: 'OPTIONS' })).status).toBe(404);
    expect(await stateOf(id)).toBe('delayed');
  });

  it('Without HeyGen, the callback route answers 404.', async () => {
    const without = await startApi();
    await using _ = { [Symbol.asyncDispose]: () => without.close() };
    expect((await without.post(pathOf('job_a'))).status).toBe(404);
  });
});
