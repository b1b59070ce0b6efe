import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startTestRedis } from '@lipsync/queue/testing';
import { startService, type LogRecord } from '../../../test/support/service-process.ts';

interface EndedApi {
  readonly records: readonly LogRecord[];
  readonly status: number | null;
  /** Status of GET /health after the start. */
  readonly healthStatus: number | undefined;
}

/** Starts the real process; stops it after it has reported readiness and `meanwhile` has finished. */
async function startAndStop(
  settings: Record<string, string>,
  meanwhile: (url: string) => Promise<void> = async () => undefined,
): Promise<EndedApi> {
  const folder = await mkdtemp(join(tmpdir(), 'api-start-'));
  const api = startService('api', { redisUrl: 'redis://127.0.0.1:1', folder, settings });
  let healthStatus: number | undefined;
  const url = (await api.ready())?.url;
  if (url !== undefined) {
    healthStatus = (await fetch(`${url}/health`)).status;
    try {
      await meanwhile(url);
    } finally {
      await api.stop('SIGTERM');
    }
  }
  await api.ended;
  await rm(folder, { recursive: true, force: true });
  return { records: api.records(), status: api.child.exitCode, healthStatus };
}

it('The API starts without Redis, logs one ready line with its URL as JSON, and exits with 0 on SIGTERM.', async () => {
  const { records, status, healthStatus } = await startAndStop({});
  expect(records.filter((record) => 'ready' in record)).toEqual([
    expect.objectContaining({
      level: 30,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      app: 'api',
      ready: true,
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      msg: 'listening',
    }),
  ]);
  expect(healthStatus).toBe(200);
  expect(status).toBe(0);
}, 30_000);

it.each(['kill', 'suspend'] as const)(
  'The API exits with 0 within seconds on SIGTERM while its Redis is gone (%s).',
  async (how) => {
    const redis = await startTestRedis();
    let stoppedAtMs = 0;
    const { status } = await startAndStop({ REDIS_URL: redis.url }, async (url) => {
      const body = JSON.stringify({
        video_url: 'https://example.org/clip.mp4',
        audio_url: 'https://example.org/speech.wav',
      });
      const response = await fetch(`${url}/lipsync`, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json' },
      });
      expect(response.status).toBe(202);
      await redis[how]();
      // Waits until the API has detected the lost connection.
      await delay(1_500);
      stoppedAtMs = performance.now();
    });
    const tookMs = performance.now() - stoppedAtMs;
    await redis.stop();
    expect(status).toBe(0);
    expect(tookMs).toBeLessThan(8_000);
  },
  30_000,
);

it('The API restricts an existing data folder and the files that it creates to its user.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'api-access-'));
  const [dataDir, outputDir] = [join(folder, 'data'), join(folder, 'out')];
  for (const path of [dataDir, outputDir]) await mkdir(path, { mode: 0o755 });
  const modes: string[] = [];
  await startAndStop({ LIPSYNC_DATA_DIR: dataDir, LIPSYNC_OUTPUT_DIR: outputDir }, async (url) => {
    const body = new FormData();
    for (const name of ['video', 'audio']) body.append(name, new Blob([name]), name);
    // Redis is missing, so the job is not recorded, and its inputs are deleted. Their folder stays.
    await fetch(`${url}/lipsync`, { method: 'POST', body });
    const paths = await readdir(dataDir, { recursive: true });
    for (const path of [dataDir, outputDir, ...paths.map((name) => join(dataDir, name))])
      modes.push(((await stat(path)).mode & 0o777).toString(8));
  });
  await rm(folder, { recursive: true, force: true });
  expect(modes.length).toBeGreaterThanOrEqual(3);
  expect(modes.filter((mode) => !/^[4-7]00$/.test(mode))).toEqual([]);
});

it('The API refuses to listen on a public address without keys and prints the reason.', async () => {
  const { records, status } = await startAndStop({ HOST: '0.0.0.0' });
  expect({ messages: records.map(({ msg }) => msg), status }).toEqual({
    messages: [expect.stringContaining('LIPSYNC_API_KEYS must be set')],
    status: 1,
  });
}, 30_000);

it('The API exits with a clear message when its port is in use.', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { records, status } = await startAndStop({ PORT: String(port) });
  other.close();
  expect(status).toBe(1);
  expect(records.at(-1)?.msg).toContain(`port ${port}. Another process may use it.`);
}, 30_000);
