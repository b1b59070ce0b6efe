import { silentLogger } from '@lipsync/core/host';
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { startProbes } from '../src/probes.ts';

const works = { path: '/data', freeBytes: null, error: null };

it('A worker is ready from its start to its stop, and alive until its port is closed.', async () => {
  const urls: string[] = [];
  const probes = await startProbes({
    listener: { host: '127.0.0.1', port: 0 },
    redis: { check: async () => undefined },
    metrics: new Registry(),
    artifacts: { health: async () => ({ inputs: works, outputs: works }) },
    logger: { ...silentLogger, info: (fields) => void urls.push(Object.values(fields).join()) },
  });
  const [url = ''] = urls;
  const status = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
  expect(await status('/ready')).toBe(503);
  probes.started();
  await expect.poll(() => status('/ready'), { timeout: 10_000 }).toBe(200);
  probes.stopping();
  expect(await status('/ready')).toBe(503);
  expect(await status('/health')).toBe(200);
  await probes.close();
  await expect(status('/health')).rejects.toThrow('fetch failed');
});

it('A worker without METRICS_PORT listens nowhere.', async () => {
  const lines: string[] = [];
  const probes = await startProbes({
    listener: null,
    redis: { check: async () => undefined },
    metrics: new Registry(),
    artifacts: { health: async () => ({ inputs: works, outputs: works }) },
    logger: { ...silentLogger, info: (_fields, message) => void lines.push(message) },
  });
  probes.started();
  probes.stopping();
  await probes.close();
  expect(lines).toEqual([]);
});
