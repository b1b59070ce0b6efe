import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadSession } from '../../src/inference/onnx-session.ts';
import {
  writeFaultModel,
  writeIdentityModel,
  writeMeterModel,
  writeSeededWav2Lip,
} from '../../src/testing/wav2lip-models.ts';
import type { EngineAddress } from '../../src/providers/wav2lip/engine/engine-address.ts';
import { EnginePool } from '../../src/providers/wav2lip/engine/engine-pool.ts';
import { startRowTensor } from '../../src/providers/wav2lip/model/start-rows.ts';
import {
  batchOf,
  connected,
  crop,
  enginesBelow,
  leaseFrom,
  modelFrom,
  openPool,
  size,
  soon,
} from './engine-fixture.ts';

/** An engine with an identity model, shared by all tests that do not stop it. */
let engine: EngineAddress;
const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'engine-test-'));
  const path = join(folder, 'identity.onnx');
  await writeIdentityModel(path, { cropSizePx: size });
  ({ engine } = await pool.lease({ path, cacheFolder: folder }, { signal: soon() }));
});
afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

describe('Engine drawing', () => {
  it('An engine returns every byte of a face in its place.', async () => {
    const client = await connected(engine);
    const batch = batchOf(engine.batchSize * 2 + 3);
    expect(engine).toMatchObject({ device: 'cpu', cropSizePx: size });
    expect(await client.generate(batch)).toEqual(batch.faces);
    expect(client.smallestBatch).toBeNull();
  });

  it('An engine draws from references that differ from the faces.', async () => {
    const references = batchOf(3, { seed: 5 }).faces;
    expect(await (await connected(engine)).generate({ ...batchOf(3), references })).toEqual(references);
  });

  it('An engine draws each face from its own mel chunk.', async () => {
    const { engine } = await leaseFrom((path) => writeMeterModel(path, { cropSizePx: size }));
    const loudnesses = [-4, -2, 0, 2, 4, 9, -9];
    const batch = {
      ...batchOf(7),
      mel: Float32Array.from({ length: 7 * 1280 }, (_, index) => loudnesses[Math.floor(index / 1280)] ?? 0),
    };
    const drawn = await (await connected(engine)).generate(batch);
    // The last two exceed the range of a pixel.
    expect(loudnesses.map((_, face) => drawn[face * crop])).toEqual([0, 64, 128, 191, 255, 255, 0]);
  });

  it('An engine draws the same faces as the model without an engine.', async () => {
    const model = await modelFrom((path) => writeSeededWav2Lip(path, { widthDivisor: 16, seed: 3 }));
    const { engine } = await openPool().lease(model, { signal: soon() });
    const batch = {
      ...batchOf(2, { side: 96 }),
      mel: Float32Array.from({ length: 2 * 1280 }, (_, index) => Math.sin(index)),
    };
    const drawn = await (await connected(engine)).generate(batch);

    const session = await loadSession(model.path, { threads: 1 });
    onTestFinished(() => session.release());
    const plane = 96 * 96;
    const frames = Float32Array.from({ length: 2 * 6 * plane }, (_, index) => {
      const [face, channel, pixel] = [Math.floor(index / 6 / plane), Math.floor(index / plane) % 6, index % plane];
      return channel < 3 && pixel >= plane / 2
        ? 0
        : (batch.faces[(face * plane + pixel) * 3 + (channel % 3)] ?? 0) / 255;
    });
    const { predicted_frames: answer } = await session.run({
      mel_spectrogram: { type: 'float32', dims: [2, 1, 80, 16], data: batch.mel },
      video_frames: { type: 'float32', dims: [2, 6, 96, 96], data: frames },
      start_row: startRowTensor(0),
    });
    const expected = drawn.map((_, index) => {
      const [face, pixel, channel] = [Math.floor(index / 3 / plane), Math.floor(index / 3) % plane, index % 3];
      return Math.round(Number(answer?.data[(face * 3 + channel) * plane + pixel]) * 255);
    });
    expect(Math.max(...expected)).toBeGreaterThan(Math.min(...expected));
    // One level, because sums are added in another order.
    expect(Math.max(...drawn.map((value, index) => Math.abs(value - (expected[index] ?? 0))))).toBeLessThanOrEqual(1);
  });

  it('An engine serves several clients, each in the order of its batches.', async () => {
    const clients = await Promise.all([connected(engine), connected(engine), connected(engine)]);
    const answered: string[] = [];
    await Promise.all(
      clients.flatMap((client, index) =>
        Array.from({ length: 12 }, async (_, turn) => {
          const batch = batchOf(1 + (turn % 5), { seed: index * 100 + turn });
          expect(await client.generate(batch)).toEqual(batch.faces);
          answered.push(`${index}:${turn}`);
        }),
      ),
    );
    for (const index of [0, 1, 2])
      expect(answered.filter((name) => name.startsWith(`${index}:`))).toEqual(
        Array.from({ length: 12 }, (_, turn) => `${index}:${turn}`),
      );
  });

  it('An engine runs a model with a fixed batch size on batches of any size.', async () => {
    const { engine } = await leaseFrom((path) => writeIdentityModel(path, { cropSizePx: size, fixedBatch: 3 }));
    const client = await connected(engine);
    expect(engine.batchSize % 3).toBe(0);
    for (const count of [1, 3, 7]) {
      const batch = batchOf(count, { seed: count });
      expect(await client.generate(batch)).toEqual(batch.faces);
    }
  });
});

describe('Model failures', () => {
  it('A failing batch is halved until it succeeds, the client is notified, and the next client starts with the full size.', async () => {
    const { engine } = await leaseFrom((path) => writeFaultModel(path, { cropSizePx: size, largestBatch: 3 }));
    const client = await connected(engine);
    const batch = batchOf(engine.batchSize + 1);
    expect(await client.generate(batch)).toEqual(batch.faces);
    expect(client.smallestBatch).toBeLessThanOrEqual(3);
    expect(client.smallestBatch).toBeGreaterThan(1);
    const other = await connected(engine);
    await other.generate(batchOf(2));
    expect(other.smallestBatch).toBeNull();
  });

  it('The reduced batch size stays at the smallest one, even if larger batches were already queued.', async () => {
    const { engine } = await leaseFrom((path) => writeFaultModel(path, { cropSizePx: size, largestBatch: 3 }));
    const client = await connected(engine);
    // Eight faces are halved twice and seven once, and both batches start before either fails.
    await Promise.all([client.generate(batchOf(8)), client.generate(batchOf(7))]);
    expect(client.smallestBatch).toBe(2);
    await client.generate(batchOf(3));
    expect(client.smallestBatch).toBe(2);
  });

  it('A batch fails when a single face fails, and the engine serves the next batch.', async () => {
    const { engine } = await leaseFrom((path) => writeFaultModel(path, { cropSizePx: size, failAboveMean: 2 }));
    const client = await connected(engine);
    const [loud, quiet] = [batchOf(4, { loudness: 3 }), batchOf(4)];
    const answers = [client.generate(loud), client.generate(quiet)];
    await expect(answers[0]).rejects.toMatchObject({ code: 'resource_exhausted' });
    await expect(answers[1]).resolves.toEqual(quiet.faces);
  });

  it('A drawing with values that are not finite is rejected.', async () => {
    const { engine } = await leaseFrom((path) => writeFaultModel(path, { cropSizePx: size, nanAboveMean: 2 }));
    const client = await connected(engine);
    await expect(client.generate(batchOf(4, { loudness: 3 }))).rejects.toMatchObject({ code: 'model_invalid' });
    await expect(client.generate(batchOf(4))).resolves.toHaveLength(4 * crop);
  });
});

describe('Engine connection', () => {
  it('A batch whose arrays do not match its count is rejected.', async () => {
    const client = await connected(engine);
    for (const wrong of [
      { count: 0 },
      { count: 4 },
      { count: 1.5 },
      { count: 1e6 },
      { mel: new Float32Array(1) },
      { faces: new Uint8Array(crop) },
    ]) {
      await expect(client.generate({ ...batchOf(3), ...wrong })).rejects.toMatchObject({ code: 'internal' });
    }
    await expect(client.generate(batchOf(3))).resolves.toHaveLength(3 * crop);
  });

  it('A canceled connection rejects at once, and other clients continue.', async () => {
    const [pid = 0] = enginesBelow(process.pid).map((row) => row.pid);
    const controller = new AbortController();
    const client = await connected(engine, controller.signal);
    process.kill(pid, 'SIGSTOP');
    const answers = [client.generate(batchOf(3)), client.generate(batchOf(3))];
    await sleep(50);
    const abortedMs = performance.now();
    controller.abort();
    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code: 'canceled' });
    expect(performance.now() - abortedMs).toBeLessThan(10_000);
    process.kill(pid, 'SIGCONT');
    await expect((await connected(engine)).generate(batchOf(3))).resolves.toHaveLength(3 * crop);
  });

  it('Closing a connection rejects its pending batches with canceled.', async () => {
    const client = await connected(engine);
    const answer = client.generate(batchOf(3));
    client.close();
    await expect(answer).rejects.toMatchObject({ code: 'canceled' });
    await expect(client.generate(batchOf(3))).rejects.toMatchObject({ code: 'canceled' });
  });

  it('A connection that fails because too many files are open is not a device fault.', async () => {
    const client = join(import.meta.dirname, '..', '..', 'src', 'providers', 'wav2lip', 'engine', 'engine-client.ts');
    const program = `
      import { openSync } from 'node:fs';
      import { connectEngine } from ${JSON.stringify(client)};
      const { signal } = new AbortController();
      try { for (;;) openSync('/dev/null'); } catch { /* None is left. */ }
      await connectEngine(${JSON.stringify(engine)}, { signal }).catch(({ code, reason }) => console.log(JSON.stringify({ code, reason })));`;
    const limited = ['-c', 'ulimit -n 200 && exec "$0" --input-type=module --eval "$1"', process.execPath, program];
    const { stdout } = await promisify(execFile)('sh', limited, { timeout: 55_000 });
    expect(JSON.parse(stdout)).toEqual({ code: 'resource_exhausted', reason: 'EMFILE' });
  });

  it('A connection without an engine fails with media_failed.', async () => {
    await expect(connected({ ...engine, socketPath: `${engine.socketPath}.not` })).rejects.toMatchObject({
      code: 'media_failed',
    });
  });

  it.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: engine\r\n\r\n')],
    ['a message for clients', Buffer.concat([header(2, 0, 0).subarray(0, 4), Buffer.of(4, 0, 0, 0), Buffer.alloc(8)])],
    ['more faces than allowed', header(0, 65_535, 0xffff_ffff)],
    ['a length that does not match the count', header(0, 1, 4)],
    ['no faces', header(0, 0, 0)],
  ])('A client that sends %s is disconnected and affects no other client.', async (_what, bytes) => {
    const client = await connected(engine);
    const stranger = connect(engine.socketPath);
    const heard: Buffer[] = [];
    stranger.on('data', (piece) => heard.push(piece));
    stranger.write(bytes);
    await new Promise((resolve) => void stranger.once('close', resolve));
    expect(Buffer.concat(heard).toString()).toContain('media_failed');
    await expect(client.generate(batchOf(3))).resolves.toHaveLength(3 * crop);
  });

  it('A client that disconnects within a message affects no other client.', async () => {
    const stranger = connect(engine.socketPath);
    const whole = Buffer.concat([header(0, 1, 1280 * 4 + crop), Buffer.alloc(1280 * 4 + crop)]);
    await new Promise<void>((resolve) => void stranger.write(whole.subarray(0, 100), () => resolve()));
    stranger.destroy();
    await expect((await connected(engine)).generate(batchOf(3))).resolves.toHaveLength(3 * crop);
  });
});

/** A header in the layout of the protocol: magic, type, count, note, length. */
function header(type: number, count: number, payloadBytes: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(0x3145_534c, 0);
  bytes.writeUInt8(type, 4);
  bytes.writeUInt16LE(count, 6);
  bytes.writeUInt32LE(payloadBytes, 12);
  return bytes;
}
