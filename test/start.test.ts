import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';
import { startService, type ServiceProcess, type ServiceProcessOptions } from './support/service-process.ts';

it(
  'Standard output of a service is log records only, one JSON object per line, and its addresses go to standard error.',
  { timeout: 90_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const service = startService('launcher', { folder });
    onTestFinished(() => service.stop());
    await expect.poll(service.errorText, { timeout: 60_000 }).toContain('Press Control-C');
    await service.stop('SIGTERM');
    await service.ended;
    expect(service.child.exitCode).toBe(0);
    const records = service.records();
    expect(records).toContainEqual(expect.objectContaining({ app: 'api', msg: 'listening' }));
    expect(records).toContainEqual(expect.objectContaining({ app: 'worker', msg: 'worker started' }));
    expect(service.errorText()).toContain('Lipsync is running at http://127.0.0.1:');
    expect(service.errorText()).not.toContain('{"level"');
  },
);

it(
  'A data folder that cannot be written ends the start with its path, the reason and the setting.',
  { timeout: 60_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'file');
    await writeFile(file, '');
    for (const dataDir of [file, join(file, 'data')]) {
      const service = startService('launcher', { folder, settings: { LIPSYNC_DATA_DIR: dataDir } });
      onTestFinished(() => service.stop());
      await service.ended;
      expect(service.child.exitCode).toBe(1);
      expect(service.errorText()).toBe(
        `The folder "${dataDir}" cannot be written: a part of its path is a file. Make it writable, or set LIPSYNC_DATA_DIR to another folder.\n`,
      );
    }
  },
);

function startPart(args: readonly string[], options: ServiceProcessOptions): ServiceProcess {
  const part = startService('launcher', { ...options, args });
  onTestFinished(() => part.stop('SIGTERM'));
  return part;
}

it(
  'API and workers of one lane each start alone with the Redis and the folders of a service.',
  { timeout: 120_000 },
  async () => {
    const redis = await startTestRedis();
    onTestFinished(() => redis.stop());
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const options = { folder, redisUrl: redis.url };
    const api = startPart(['api'], options);
    const render = startPart(['worker', '--lanes', 'render'], options);
    const cloud = startPart(['worker'], { ...options, settings: { WORKER_LANES: 'cloud' } });
    for (const part of [api, render, cloud])
      await expect.poll(part.errorText, { timeout: 60_000 }).toContain('Press Control-C');
    const url = /The API is running at (?<url>\S+)/.exec(api.errorText())?.groups?.['url'] ?? '';
    expect(await (await fetch(`${url}/ready`)).json()).toMatchObject({ status: 'ready' });
    const lanesOf = (part: ServiceProcess) =>
      part
        .records()
        .find(({ msg }) => msg === 'worker started')
        ?.lanes?.map(({ lane }) => lane);
    expect(lanesOf(render)).toEqual(['render']);
    expect(lanesOf(cloud)).toEqual(['fetch', 'cloud', 'webhook']);
  },
);

it.each([
  [['api'], /^npm run api needs REDIS_URL/],
  [['worker'], /^npm run worker needs REDIS_URL/],
  [['worker', '--lanes', 'gpu'], /WORKER_LANES: must be one of cloud, render/],
  [['worker', '--lane', 'render'], /--lane/],
  [['api', 'now'], /^npm run api takes no arguments/],
])('The arguments %j without REDIS_URL end the start with the reason.', { timeout: 60_000 }, async (args, reason) => {
  const folder = await mkdtemp(join(tmpdir(), 'start-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const part = startPart(args, { folder });
  await expect.poll(part.errorText, { timeout: 30_000 }).toMatch(reason);
});
