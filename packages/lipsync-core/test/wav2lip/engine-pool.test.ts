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

/** For what comes at once, on a machine that is busy with something else. */
const limitMs = 30_000;

const identity = (path: string): Promise<unknown> => writeIdentityModel(path, { cropSizePx: size });

function ownEngines(): number[] {
  return enginesBelow(process.pid).map(({ pid }) => pid);
}

/** Throws unless there is one: the number 0 would stand for every process of the tests. */
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

describe('the engine pool', () => {
  it('keeps an engine warm between leases and shares it among them', async () => {
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

  it('starts one engine for leases that come at once', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const leases = await Promise.all([1, 2, 3].map(() => pool.lease(model, { signal: soon() })));
    expect(new Set(leases.map(({ engine }) => engine.socketPath)).size).toBe(1);
    expect(ownEngines()).toHaveLength(1);
  });

  it('lets an engine go when nobody has leased it for a while, and starts it again', async () => {
    const pool = openPool({ idleMs: 100 });
    const model = await modelFrom(identity);
    const [first, second] = [await pool.lease(model, { signal: soon() }), await pool.lease(model, { signal: soon() })];
    first.release();
    // Giving back twice is giving back once.
    first.release();
    await sleep(300);
    expect(ownEngines()).toHaveLength(1);
    second.release();
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
    const again = await pool.lease(model, { signal: soon() });
    await expect((await connected(again.engine)).generate(batchOf(2))).resolves.toEqual(batchOf(2).faces);
  });

  it('neither keeps a program alive for a warm engine nor lets it end while it waits for one', async () => {
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

  it('does not keep a program alive for an engine that was ended before it was ready', async () => {
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

  it('makes room for another model on the same device', async () => {
    const pool = openPool();
    const [one, other] = [await modelFrom(identity), await modelFrom(identity)];
    (await pool.lease(one, { signal: soon() })).release();
    const [first] = ownEngines();
    await pool.lease(other, { signal: soon() });
    expect(ownEngines()).toHaveLength(1);
    expect(ownEngines()).not.toEqual([first]);
  });

  it('runs the model that lies there now, not the one that lay there before', async () => {
    const pool = openPool();
    const model = await modelFrom(identity);
    const before = await pool.lease(model, { signal: soon() });
    before.release();
    await writeIdentityModel(model.path, { cropSizePx: 2 * size });
    await utimes(model.path, 1_000, 1_000);
    const after = await pool.lease(model, { signal: soon() });
    expect([before.engine.cropSizePx, after.engine.cropSizePx]).toEqual([size, 2 * size]);
  });

  it('ends everything when it is closed, and lends nothing afterwards', async () => {
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

  it('ends an engine that is only starting when it is closed', async () => {
    const pool = openPool();
    const starting = pool.lease(await modelFrom(identity), { signal: soon() });
    starting.catch(() => undefined);
    await vi.waitFor(() => expect(ownEngines()).toHaveLength(1), { timeout: limitMs, interval: 5 });
    await pool.close();
    await expect(starting).rejects.toMatchObject({ code: 'media_failed' });
    expect(ownEngines()).toEqual([]);
  });

  it('stops waiting for an engine at once when the job is canceled, and starts it for the others', async () => {
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

describe('a model that cannot be run', () => {
  it('is named when its file is missing', async () => {
    const cacheFolder = await temporaryFolder();
    const missing = openPool({ gpuEnabled: true }).lease(
      { path: join(cacheFolder, 'missing.onnx'), cacheFolder },
      { signal: soon() },
    );
    await expect(missing).rejects.toMatchObject({ code: 'model_missing' });
  });

  it.each([
    ['no model at all', (path: string) => writeFile(path, 'not a model')],
    ['a model of something else', (path: string) => writeFile(path, encodeOther())],
    [
      'a model that fails at a single face',
      (path: string) => writeFaultModel(path, { cropSizePx: size, failAboveMean: -5 }),
    ],
    ['a model that draws no numbers', (path: string) => writeFaultModel(path, { cropSizePx: size, nanAboveMean: -5 })],
  ])('is refused when it is %s', async (_what, write) => {
    const pool = openPool();
    await expect(pool.lease(await modelFrom(write), { signal: soon() })).rejects.toMatchObject({
      code: 'model_invalid',
    });
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
  });
});

describe('an engine that dies', () => {
  it('amid a batch is a media fault, and the next lease starts another', async () => {
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

  it('because it stood still is killed, and replaced at the next lease', async () => {
    const pool = openPool({ heartbeatMs: 300 });
    const model = await modelFrom(identity);
    await pool.lease(model, { signal: soon() });
    const pid = onlyEngine();
    process.kill(pid, 'SIGSTOP');
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
    const { engine } = await pool.lease(model, { signal: soon() });
    await expect((await connected(engine)).generate(batchOf(1))).resolves.toEqual(batchOf(1).faces);
  });

  it('because a batch took too long says so', async () => {
    const pool = openPool({ batchLimitMs: 1 });
    const model = await modelFrom((path) => writeIdentityModel(path, { cropSizePx: 256 }));
    const { engine } = await pool.lease(model, { signal: soon() });
    const pid = onlyEngine();
    await expect((await connected(engine)).generate(batchOf(8, { side: 256 }))).rejects.toMatchObject({
      code: 'media_failed',
      message: expect.stringContaining('0.001 s'),
    });
    // It says why before it ends, but it is not lent to anybody meanwhile.
    expect((await pool.lease(model, { signal: soon() })).engine.socketPath).not.toBe(engine.socketPath);
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
  });

  it('because it was not ready in time is not waited for', async () => {
    const pool = openPool({ startLimitMs: 20 });
    await expect(pool.lease(await modelFrom(identity), { signal: soon() })).rejects.toMatchObject({
      code: 'media_failed',
    });
    await vi.waitFor(() => expect(ownEngines()).toEqual([]), { timeout: limitMs });
  });
});

describe('when the process of a pool is killed', () => {
  it('its engine ends by itself and takes its folder with it', async () => {
    const { holder, engine } = await startHolder(await modelFrom(identity));
    const pid = onlyEngine(holder.pid);
    holder.kill('SIGKILL');
    await vi.waitFor(() => expect(engineRuns(pid)).toBe(false), { timeout: limitMs });
    await vi.waitFor(async () => expect(await exists(dirname(engine.socketPath))).toBe(false), { timeout: limitMs });
  });

  it('and its engine with it, the next pool removes their folder, but not that of a pool that lives', async () => {
    const model = await modelFrom(identity);
    const living = await openPool().lease(model, { signal: soon() });
    const { holder, engine } = await startHolder(model);
    // It must see neither that its engine dies nor a signal that it could heed: either would remove the folder.
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

/** A model that takes one list of numbers. */
function encodeOther(): Uint8Array {
  return encodeOnnxModel({
    name: 'other',
    inputs: [{ name: 'x', dims: [3] }],
    outputs: [{ name: 'y' }],
    constants: [],
    nodes: [{ operator: 'Relu', inputs: ['x'], output: 'y' }],
  });
}
