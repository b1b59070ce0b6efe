import { Ledger, systemClock, toMicros } from '@lipsync/core/host';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
  const connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
  const ledger = new Ledger({
    state: new RedisStateStore({ connection }),
    clock: systemClock,
    caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
  });
  const book = async (id: string, day: string, user: string | null, micros: number): Promise<void> => {
    const entry = { id, atMs: Date.parse(`${day}T12:00:00Z`) };
    await ledger.reserve({ ...entry, jobId: id, provider: 'heygen', user, micros: toMicros(1_000_000) });
    await ledger.settle(entry, { micros: toMicros(micros), atMs: entry.atMs });
  };
  await book('a-0', '2026-11-01', 'ann', 333_001);
  await book('b-0', '2026-11-01', '=cmd()', 1);
  await book('c-0', '2026-11-02', null, 666_666);
  await ledger.reserve({
    id: 'd-0',
    atMs: Date.parse('2026-11-02T23:59:59Z'),
    jobId: 'd',
    provider: 'heygen',
    user: 'ann',
    micros: toMicros(250_000),
  });
  connection.disconnect();
});
afterAll(() => api.close());

it('GET /costs sums the ledger by UTC day, both days inclusive.', async () => {
  expect(await json(await api.fetch('/costs?from=2026-11-01&to=2026-11-02'))).toEqual({
    from: '2026-11-01',
    to: '2026-11-02',
    group_by: 'day',
    rows: [
      { day: '2026-11-01', jobs: 2, cost_usd: 0.333002, reserved_usd: 0 },
      { day: '2026-11-02', jobs: 2, cost_usd: 0.666666, reserved_usd: 0.25 },
    ],
    total: { jobs: 4, cost_usd: 0.999668, reserved_usd: 0.25 },
  });
});

it('GET /costs returns CSV with six decimals and escapes formulas in user names.', async () => {
  const response = await api.fetch('/costs?from=2026-11-01&to=2026-11-02&group_by=user', {
    headers: { Accept: 'text/csv' },
  });
  expect(response.headers.get('content-type')).toContain('text/csv');
  expect(await response.text()).toBe(
    [
      'user,jobs,cost_usd,reserved_usd,key',
      ',1,0.666666,0.000000,',
      "'=cmd(),1,0.000001,0.000000,",
      'ann,2,0.333001,0.250000,',
      '',
    ].join('\r\n'),
  );
});

it.each([
  'from=yesterday',
  'from=2026-11-03&to=2026-11-01',
  'from=2020-01-01&to=2026-01-01',
  'group_by=moon',
  'by=day',
])('GET /costs?%s is refused.', async (query) => {
  const response = await api.fetch(`/costs?${query}`);
  expect(response.status).toBe(422);
  expect((await json(response)).code).toBe('request_invalid');
});
