import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { encodeOnnxModel } from '../../src/inference/onnx-writer.ts';
import { writeFaultModel, writeIdentityModel } from '../../src/testing/wav2lip-models.ts';
import {
  batchOf,
  connected,
  engineRuns,
  enginesBelow,
  modelFrom,
  openPool,
  size,
  soon,
  startHolder,
  temporaryFolder,
} from './engine-fixture.ts';

/** Generous limit for immediate effects on a busy machine. */
const limitMs = 30_000;

const identity = (path: string): Promise<unknown> => writeIdentityModel(path, { cropSizePx: size });

function ownEngines(): number[] {
  return enginesBelow(process.pid).map(({ pid }) => pid);
}

/** Throws unless exactly one engine runs; process id 0 would address every process of the tests. */
function onlyEngine(ancestor = process.pid): number {
  const [engine, ...others] = enginesBelow(ancestor);
  if (!engine || others.length > 0) throw new Error(`${engine ? others.length + 1 : 0} engines run where one should`);
  return engine.pid;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

describe('Engine pool', () => {
  it('An engine stays warm between leases and is shared by concurrent ones.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const first = await pool.lease(model, { signal: soon() });
    const [second, third] = await Promise.all([
      pool.lease(model, { signal: soon() }),
      pool.lease(model, { signal: soon() }),
    ]);
    for (const lease of [first, second, third]) lease.release();
    const fourth = await pool.lease(model, { signal: soon() });
    expect([second, third, fourth].map(({ engine }) => engine)).toEqual([first.engine, first.engine, first.engine]);
    expect(ownEngines()).toHaveLength(1);
    expect(first.warnings).toEqual([]);
  });

  it('Concurrent leases start one engine.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const leases = await Promise.all([1, 2, 3].map(() => pool.lease(model, { signal: soon() })));
    expect(new Set(leases.map(({ engine }) => engine.socketPath)).size).toBe(1);
    expect(ownEngines()).toHaveLength(1);
  });

  it('An engine without leases ends after the idle time and is started again by the next lease.', async () => {
    const pool = openPool({ idleMs: 100 });
    const model = await modelFrom(identity);
    const [first, second] = [await pool.lease(model, { signal: soon() }), await pool.lease(model, { signal: soon() })];
    first.release();
    // A second release has no effect.
    first.release();
    await sleep(300);
    expect(ownEngines()).toHaveLength(1);
    second.release();
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
    const again = await pool.lease(model, { signal: soon() });
    await expect((await connected(again.engine)).generate(batchOf(2))).resolves.toEqual(batchOf(2).faces);
  });

  it('A program exits with a warm engine, but not while it waits for an engine.', async () => {
    const { path } = await modelFrom(identity);
    const program = `
      import { EnginePool } from ${JSON.stringify(join(import.meta.dirname, '..', '..', 'src', 'providers', 'wav2lip', 'engine', 'engine-pool.ts'))};
      const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
      for (const turn of [1, 2]) {
        const lease = await pool.lease({ path: ${JSON.stringify(path)}, cacheFolder: 'none' }, { signal: AbortSignal.timeout(55_000) });
        lease.release();
        console.log(turn);
      }`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
      timeout: 55_000,
    });
    expect(stdout).toBe('1\n2\n');
  });

  it('A program exits after closing the pool while an engine starts.', async () => {
    const { path } = await modelFrom(identity);
    const program = `
      import { EnginePool } from ${JSON.stringify(join(import.meta.dirname, '..', '..', 'src', 'providers', 'wav2lip', 'engine', 'engine-pool.ts'))};
      const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
      const starting = pool.lease({ path: ${JSON.stringify(path)}, cacheFolder: 'none' }, { signal: AbortSignal.timeout(55_000) });
      setTimeout(() => void pool.close(), 50);
      const reason = await starting.catch((error) => error.code);
      const endedMs = performance.now();
      process.on('exit', () => console.log(reason, performance.now() - endedMs < 20_000 ? 'at once' : 'late'));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
      timeout: 55_000,
    });
    expect(stdout).toMatch(/^(media_failed|canceled) at once\n$/);
  });

  it('An idle engine ends before another model starts on its device.', async () => {
    const pool = openPool();
    const [one, other] = [await modelFrom(identity), await modelFrom(identity)];
    (await pool.lease(one, { signal: soon() })).release();
    const [first] = ownEngines();
    await pool.lease(other, { signal: soon() });
    expect(ownEngines()).toHaveLength(1);
    expect(ownEngines()).not.toEqual([first]);
  });

  it('A replaced model file is loaded by the next lease.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const before = await pool.lease(model, { signal: soon() });
    before.release();
    await writeIdentityModel(model.path, { cropSizePx: 2 * size });
    await utimes(model.path, 1_000, 1_000);
    const after = await pool.lease(model, { signal: soon() });
    expect([before.engine.cropSizePx, after.engine.cropSizePx]).toEqual([size, 2 * size]);
  });

  it('Closing the pool ends every engine, deletes their folders, and prevents further leases.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const { engine } = await pool.lease(model, { signal: soon() });
    expect((await stat(dirname(engine.socketPath))).mode & 0o777).toBe(0o700);
    const answer = (await connected(engine)).generate(batchOf(3));
    answer.catch(() => undefined);
    await pool.close();
    expect(ownEngines()).toEqual([]);
    expect(await exists(dirname(engine.socketPath))).toBe(false);
    await expect(pool.lease(model, { signal: soon() })).rejects.toMatchObject({ code: 'canceled' });
  });

  it('Closing the pool ends an engine that is still starting.', async () => {
    const pool = openPool();
    const starting = pool.lease(await modelFrom(identity), { signal: soon() });
    starting.catch(() => undefined);
    await vi.waitFor(() => expect(ownEngines()).toHaveLength(1), { timeout: limitMs, interval: 5 });
    await pool.close();
    await expect(starting).rejects.toMatchObject({ code: 'media_failed' });
    expect(ownEngines()).toEqual([]);
  });

  it('A canceled lease rejects at once, and the engine still starts for other leases.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const controller = new AbortController();
    const canceled = pool.lease(model, { signal: controller.signal });
    const other = pool.lease(model, { signal: soon() });
    await vi.waitFor(() => expect(ownEngines()).toHaveLength(1), { timeout: limitMs, interval: 5 });
    controller.abort();
    await expect(canceled).rejects.toMatchObject({ code: 'canceled' });
    await expect(other).resolves.toMatchObject({ engine: { device: 'cpu' } });
    await expect(pool.lease(model, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('Models that cannot be run', () => {
  it('A missing model file fails the lease with model_missing.', async () => {
    const cacheFolder = await temporaryFolder();
    const missing = openPool({ gpuEnabled: true }).lease(
      { path: join(cacheFolder, 'missing.onnx'), cacheFolder },
      { signal: soon() },
    );
    await expect(missing).rejects.toMatchObject({ code: 'model_missing' });
  });

  it.each([
    ['a text file', (path: string) => writeFile(path, 'not a model')],
    ['another network', (path: string) => writeFile(path, encodeOther())],
    [
      'a model that fails with a single face',
      (path: string) => writeFaultModel(path, { cropSizePx: size, failAboveMean: -5 }),
    ],
    [
      'a model whose drawing is not finite',
      (path: string) => writeFaultModel(path, { cropSizePx: size, nanAboveMean: -5 }),
    ],
  ])('A lease fails with model_invalid for %s.', async (_what, write) => {
    const pool = openPool();
    await expect(pool.lease(await modelFrom(write), { signal: soon() })).rejects.toMatchObject({
      code: 'model_invalid',
    });
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
  });
});

describe('Engine failures', () => {
  it('A batch of a killed engine fails with media_failed, and the next lease starts another engine.', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const { engine, release } = await pool.lease(model, { signal: soon() });
    const client = await connected(engine);
    const pid = onlyEngine();
    process.kill(pid, 'SIGSTOP');
    const answer = client.generate(batchOf(3));
    answer.catch(() => undefined);
    await sleep(50);
    process.kill(pid, 'SIGKILL');
    await expect(answer).rejects.toMatchObject({
      code: 'media_failed',
      details: { engine: true },
      message: expect.stringContaining('engine'),
    });
    await expect(client.generate(batchOf(3))).rejects.toMatchObject({ code: 'media_failed' });
    release();
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
    const again = await pool.lease(model, { signal: soon() });
    await expect((await connected(again.engine)).generate(batchOf(3))).resolves.toEqual(batchOf(3).faces);
  });

  it('An engine without heartbeats is killed and replaced at the next lease.', async () => {
    const pool = openPool({ heartbeatMs: 300 });
    const model = await modelFrom(identity);
    await pool.lease(model, { signal: soon() });
    const pid = onlyEngine();
    process.kill(pid, 'SIGSTOP');
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
    const { engine } = await pool.lease(model, { signal: soon() });
    await expect((await connected(engine)).generate(batchOf(1))).resolves.toEqual(batchOf(1).faces);
  });

  it('An engine that exceeds the batch limit reports it and ends.', async () => {
    const pool = openPool({ batchLimitMs: 1 });
    const model = await modelFrom((path) => writeIdentityModel(path, { cropSizePx: 256 }));
    const { engine } = await pool.lease(model, { signal: soon() });
    const pid = onlyEngine();
    await expect((await connected(engine)).generate(batchOf(8, { side: 256 }))).rejects.toMatchObject({
      code: 'media_failed',
      message: expect.stringContaining('0.001 s'),
    });
    // It reports the reason before it ends, and is not leased again meanwhile.
    expect((await pool.lease(model, { signal: soon() })).engine.socketPath).not.toBe(engine.socketPath);
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
  });

  it('An engine that exceeds its start limit fails the lease and ends.', async () => {
    const pool = openPool({ startLimitMs: 20 });
    await expect(pool.lease(await modelFrom(identity), { signal: soon() })).rejects.toMatchObject({
      code: 'media_failed',
    });
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
  });
});

describe('Killed parent of an engine', () => {
  it('An engine whose parent is killed ends by itself and deletes its folder.', async () => {
    const { holder, engine } = await startHolder(await modelFrom(identity));
    const pid = onlyEngine(holder.pid);
    holder.kill('SIGKILL');
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
    await vi.waitFor(async () => expect(await exists(dirname(engine.socketPath))).toBe(false), { timeout: limitMs });
  });

  it('The next pool deletes the folder of a killed parent and engine, but not that of a running pool.', async () => {
    const model = await modelFrom(identity);
    const living = await openPool().lease(model, { signal: soon() });
    const { holder, engine } = await startHolder(model);
    // A stopped process handles neither the exit of its engine nor signals; both would delete the folder.
    holder.kill('SIGSTOP');
    const pid = onlyEngine(holder.pid);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    expect(await exists(dirname(engine.socketPath))).toBe(true);
    await openPool().lease(model, { signal: soon() });
    expect(await exists(dirname(engine.socketPath))).toBe(false);
    expect(await exists(dirname(living.engine.socketPath))).toBe(true);
  });
});

/** A model with one vector as input. */
function encodeOther(): Uint8Array {
  return encodeOnnxModel({
    name: 'other',
    inputs: [{ name: 'x', dims: [3] }],
    outputs: [{ name: 'y' }],
    constants: [],
    nodes: [{ operator: 'Relu', inputs: ['x'], output: 'y' }],
  });
}
