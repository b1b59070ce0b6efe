import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { EnginePool } from '../../src/providers/wav2lip/engine/engine-pool.ts';
import { writeIdentityModel } from '../../src/testing/wav2lip-models.ts';
import { absentGpu, cpu, enginesBelow, modelFrom, openPool, pretendGpu, size, soon } from './engine-fixture.ts';

const limitMs = 30_000;
const lost = new LipsyncError('media_failed', 'The engine was lost.');

const identity = (path: string): Promise<unknown> => writeIdentityModel(path, { cropSizePx: size });

function ownEngines(): number[] {
  return enginesBelow(process.pid).map(({ pid }) => pid);
}

/** A pool with two working GPUs and the CPU, and a function that returns the name of the leased device. */
async function twoGpus(
  options: Parameters<typeof openPool>[0] = {},
): Promise<{ readonly pool: EnginePool; lease(): ReturnType<EnginePool['lease']> }> {
  const pool = openPool({ devices: async () => [[pretendGpu('cuda:0'), pretendGpu('cuda:1')], [cpu]], ...options });
  const model = await modelFrom(identity);
  return { pool, lease: () => pool.lease(model, { signal: soon() }) };
}

describe('Device choice', () => {
  it('The CPU is leased when no GPU works; every lease has a warning and the GPU is not retried.', async () => {
    let gpu = absentGpu('cuda:0');
    const pool = openPool({ devices: async () => [[gpu], [cpu]] });
    const model = await modelFrom(identity);
    const first = await pool.lease(model, { signal: soon() });
    // The device works from here on.
    gpu = pretendGpu('cuda:0');
    const second = await pool.lease(model, { signal: soon() });
    for (const { deviceName, engine, warnings } of [first, second]) {
      expect({ deviceName, device: engine.device }).toEqual({ deviceName: 'cpu', device: 'cpu' });
      expect(warnings).toEqual([
        {
          code: 'engine_device_unavailable',
          message: expect.stringMatching(/^The engine runs on cpu because .* cuda:0: cuda is not available/),
        },
      ]);
    }
    expect(ownEngines()).toHaveLength(1);
  });

  it('A device that could not be used is retried after a pause.', async () => {
    let gpu = absentGpu('cuda:0');
    const pool = openPool({ devices: async () => [[gpu], [cpu]], retryDeviceMs: 1 });
    const model = await modelFrom(identity);
    await pool.lease(model, { signal: soon() });
    gpu = pretendGpu('cuda:0');
    await sleep(5);
    await expect(pool.lease(model, { signal: soon() })).resolves.toMatchObject({ deviceName: 'cuda:0', warnings: [] });
  });

  it('The least busy device of a kind is leased.', async () => {
    const { lease } = await twoGpus();
    const [first, second, third] = [await lease(), await lease(), await lease()];
    expect([first, second, third].map(({ deviceName }) => deviceName)).toEqual(['cuda:0', 'cuda:1', 'cuda:0']);
    second.release();
    expect((await lease()).deviceName).toBe('cuda:1');
  });

  it('A device with a warm engine is preferred to one without.', async () => {
    const { lease } = await twoGpus();
    const first = await lease();
    const [firstPid] = ownEngines();
    const second = await lease();
    for (const { release } of [first, second]) release();
    process.kill(firstPid ?? NaN, 'SIGKILL');
    // Waits until the pool has been notified of the exit.
    await vi.waitFor(() => expect(existsSync(`/proc/${firstPid}`)).toBe(false), { timeout: limitMs });
    expect((await lease()).deviceName).toBe('cuda:1');
  });

  it('A device that is busy with another model counts as busy.', async () => {
    const { pool, lease } = await twoGpus();
    await lease();
    await expect(pool.lease(await modelFrom(identity), { signal: soon() })).resolves.toMatchObject({
      deviceName: 'cuda:1',
    });
  });

  it('A blamed device is skipped, and other devices of its kind come before the next kind.', async () => {
    const { lease } = await twoGpus();
    const first = await lease();
    first.release();
    first.blame(lost);
    const second = await lease();
    expect(second).toMatchObject({
      deviceName: 'cuda:1',
      warnings: [
        { code: 'engine_device_unavailable', message: expect.stringMatching(/cuda:0: The engine was lost\.$/) },
      ],
    });
    second.blame(lost);
    await expect(lease()).resolves.toMatchObject({ deviceName: 'cpu' });
  });

  it('The CPU is retried even if it is blamed, because it is the last device.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const first = await pool.lease(model, { signal: soon() });
    first.release();
    first.blame(lost);
    await expect(pool.lease(model, { signal: soon() })).resolves.toMatchObject({
      engine: { device: 'cpu' },
      warnings: [],
    });
  });

  it('Excluded devices are neither tried nor mentioned in warnings.', async () => {
    const pool = openPool({ devices: async () => [[absentGpu('cuda:0'), pretendGpu('cuda:1')], [cpu]] });
    const model = await modelFrom(identity);
    await expect(pool.lease(model, { signal: soon(), except: ['cuda:0', 'cuda:1'] })).resolves.toMatchObject({
      deviceName: 'cpu',
      warnings: [],
    });
    await expect(pool.lease(model, { signal: soon(), except: ['cuda:0', 'cuda:1', 'cpu'] })).rejects.toMatchObject({
      code: 'not_supported',
    });
  });

  it('Concurrent leases share one engine while another device fails to start.', async () => {
    const pool = openPool({ devices: async () => [[absentGpu('cuda:0'), pretendGpu('cuda:1')], [cpu]] });
    const model = await modelFrom(identity);
    const leases = await Promise.all([1, 2, 3].map(() => pool.lease(model, { signal: soon() })));
    expect(new Set(leases.map(({ engine }) => engine.socketPath)).size).toBe(1);
    expect(ownEngines()).toHaveLength(1);
    await pool.close();
    expect(ownEngines()).toEqual([]);
  });
});

describe('A GPU whose engine fails to start', () => {
  /** Sends a signal to the next engine that starts. */
  const meetNext = async (signal: 'SIGKILL' | 'SIGSTOP', met: number[] = []): Promise<void> => {
    const next = await vi.waitFor(
      () => {
        const [pid] = ownEngines().filter((own) => !met.includes(own));
        if (pid === undefined) throw new Error('No engine starts.');
        return pid;
      },
      { timeout: limitMs, interval: 5 },
    );
    met.push(next);
    process.kill(next, signal);
  };

  it('An engine that crashes during its start on a GPU is restarted at once.', async () => {
    const { lease } = await twoGpus();
    const leased = lease();
    await meetNext('SIGKILL');
    await expect(leased).resolves.toMatchObject({ deviceName: 'cuda:0', warnings: [] });
  });

  it('A GPU is skipped when its restarted engine crashes during the start too.', async () => {
    const { lease } = await twoGpus();
    const leased = lease();
    const met: number[] = [];
    await meetNext('SIGKILL', met);
    await meetNext('SIGKILL', met);
    await expect(leased).resolves.toMatchObject({
      deviceName: 'cuda:1',
      warnings: [
        {
          code: 'engine_device_unavailable',
          message: expect.stringContaining('cuda:0: The engine ended before it was ready'),
        },
      ],
    });
  });

  it('An engine that exceeds its start limit on a GPU is not restarted there, because it would take as long again.', async () => {
    const { lease } = await twoGpus({ startLimitMs: 5_000 });
    const leased = lease();
    await meetNext('SIGSTOP');
    await expect(leased).resolves.toMatchObject({
      deviceName: 'cuda:1',
      warnings: [
        { message: expect.stringContaining('cuda:0: The engine did not load its model within 5 s and was stopped.') },
      ],
    });
  });
});
