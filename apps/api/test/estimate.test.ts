import {
  checkMethod,
  CircuitBreaker,
  createCostEstimator,
  Ledger,
  systemClock,
  type StateStore,
  toMicros,
} from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { json, startApi, type RunningApi } from './running-api.ts';

const config = configFromEnvironment({
  HEYGEN_API_KEY: 'key',
  WAV2LIP_MODEL_PATH: 'models/wav2lip.onnx',
  LIPSYNC_GPU_USD_PER_HOUR: '0.36',
  LIPSYNC_BUDGET_DAILY_USD: '5',
});
const halfMinute = { video_duration_ms: 12_000, audio_duration_ms: 30_000 };

let redis: TestRedis;
let state: StateStore;
let api: RunningApi;
let connection: ReturnType<typeof createClientConnection>;

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  state = new RedisStateStore({ connection });
  api = await startApi({
    estimator: createCostEstimator(config, { state }),
    checkMethod: (method) => checkMethod(method, config),
  });
});
afterAll(async () => {
  await api.close();
  connection.disconnect();
  await redis.stop();
});
afterEach(async () => void (await connection.flushdb()));

async function estimate(body: object) {
  const response = await api.postJson('/estimate', body);
  expect(response.status).toBe(200);
  return json(response);
}

describe('POST /estimate', () => {
  it('POST /estimate returns the plan, cost and expected time of each provider, and the first usable provider.', async () => {
    expect(await estimate(halfMinute)).toEqual({
      duration: 30,
      plan: ['heygen', 'wav2lip'],
      plan_steps: [
        { provider: 'heygen', kind: 'remote', max_tries: 3, conditions: ['slot', 'breaker'], cost_cap_usd: null },
        { provider: 'wav2lip', kind: 'inline', max_tries: 3, conditions: [], cost_cap_usd: null },
      ],
      first: 'heygen',
      providers: [
        { provider: 'heygen', cost_usd: 0.999, expected_seconds: 90, measured: false, cap: null },
        { provider: 'wav2lip', cost_usd: 0.0074, expected_seconds: 74, measured: false, cap: null },
      ],
    });
  });

  it.each([
    [{ ...halfMinute, heygen_mode: 'precision', method: 'heygen' }, 30, 2.001],
    [{ ...halfMinute, sync_mode: 'cut_off', method: 'heygen' }, 12, 0.3996],
    [{ ...halfMinute, sync_mode: 'silence', audio_duration_ms: 1_001, method: 'heygen' }, 12, 0.3996],
    [{ audio_duration_ms: 1_001, method: 'heygen' }, 1.001, 0.033334],
    [{ ...halfMinute, sync_mode: 'cut_off', start_ms: 2_000, end_ms: 5_000, method: 'heygen' }, 3, 0.0999],
  ])('POST /estimate of %j has a duration of %d s and costs $%d.', async (body, duration, cost_usd) => {
    expect(await estimate(body)).toMatchObject({ duration, plan: ['heygen'], providers: [{ cost_usd }] });
  });

  it('POST /estimate orders the providers as a job with the same options does.', async () => {
    expect((await estimate({ ...halfMinute, optimize: 'balanced' })).plan).toEqual(['wav2lip', 'heygen']);
    expect((await estimate({ ...halfMinute, optimize: 'speed' })).plan).toEqual(['wav2lip', 'heygen']);
    expect((await estimate({ ...halfMinute, audio_duration_ms: 60_000, optimize: 'speed' })).plan).toEqual([
      'heygen',
      'wav2lip',
    ]);
  });

  it('POST /estimate names the cost cap that excludes the remote provider.', async () => {
    expect(await estimate({ ...halfMinute, max_cost_usd: 0.998999 })).toMatchObject({
      first: 'wav2lip',
      providers: [{ cap: 'job' }, { cap: null }],
    });
    expect(await estimate({ ...halfMinute, max_cost_usd: 0.999 })).toMatchObject({ first: 'heygen' });
    const ledger = new Ledger({ state, clock: systemClock, caps: config.budget });
    await ledger.reserve({
      id: 'job_1-0',
      jobId: 'job_1',
      provider: 'heygen',
      user: null,
      atMs: Date.now(),
      micros: toMicros(4_100_000),
    });
    expect(await estimate(halfMinute)).toMatchObject({
      first: 'wav2lip',
      providers: [{ cap: 'daily' }, { cap: null }],
    });
    expect(await estimate({ ...halfMinute, method: 'heygen' })).toMatchObject({ plan: ['heygen'], first: null });
  });

  it('POST /estimate names the cost cap that excludes a local provider whose time has a price.', async () => {
    expect(await estimate({ ...halfMinute, max_cost_usd: 0.0073 })).toMatchObject({
      first: null,
      providers: [{ cap: 'job' }, { cap: 'job' }],
    });
  });

  it('POST /estimate reserves no money and creates no job.', async () => {
    for (let time = 0; time < 10; time += 1) await estimate(halfMinute);
    expect(await state.list('ledger/', { limit: 10 })).toEqual([]);
    expect((await api.store.list({ kind: 'lipsync', limit: 10 })).records).toEqual([]);
  });

  it('POST /estimate skips a provider whose circuit breaker is open.', async () => {
    await new CircuitBreaker({ state, clock: systemClock }).report('heygen', 'job_1', 'opens');
    expect(await estimate(halfMinute)).toMatchObject({
      plan: ['heygen', 'wav2lip'],
      first: 'wav2lip',
      providers: [{ expected_seconds: null }, {}],
    });
  });

  it.each([
    [{}, ['audio_duration_ms']],
    [{ ...halfMinute, audio_duration_ms: 0 }, ['audio_duration_ms']],
    [
      { video_duration_ms: 1.5, audio_duration_ms: 'long', color: 'red', method: 'magic' },
      ['audio_duration_ms', 'color', 'method', 'video_duration_ms'],
    ],
    [{ audio_duration_ms: 3_600_001 }, ['audio_duration_ms']],
    [{ video_url: 'https://example.org/clip.mp4', audio_duration_ms: 1_000 }, ['video_url']],
  ])('POST /estimate refuses %j and names the fields %j.', async (body, fields) => {
    const response = await api.postJson('/estimate', body);
    const problem = await json(response);
    expect(problem).toMatchObject({ status: 422, code: 'request_invalid' });
    expect(problem.errors.map(({ field }: { field: string }) => field).toSorted()).toEqual(fields);
  });

  it('POST /estimate refuses a window outside the clip, a method that is not configured, and a body that is not JSON.', async () => {
    expect(await json(await api.postJson('/estimate', { ...halfMinute, start_ms: 12_000 }))).toMatchObject({
      status: 422,
      code: 'request_invalid',
    });
    const without = await startApi();
    await using _ = { [Symbol.asyncDispose]: () => without.close() };
    expect(await json(await without.postJson('/estimate', { ...halfMinute, method: 'heygen' }))).toMatchObject({
      status: 422,
      code: 'not_supported',
      errors: [{ field: 'method', message: 'is not configured here' }],
    });
    expect(await json(await without.postJson('/estimate', { ...halfMinute, min_sync_score: 0.7 }))).toMatchObject({
      code: 'not_supported',
      errors: [{ field: 'min_sync_score' }],
    });
    expect((await api.post('/estimate', new FormData())).status).toBe(415);
    expect((await api.post('/estimate', '{', { 'Content-Type': 'application/json' })).status).toBe(400);
  });
});
