import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, describe, it, onTestFinished } from 'vitest';
import { loadSession } from '../inference/onnx-session.ts';
import { describeWav2LipModel } from '../providers/wav2lip/model/model-facts.ts';
import { startRowTensor } from '../providers/wav2lip/model/start-rows.ts';
import { writeFaultModel, writeIdentityModel, writeMeterModel, writeSeededWav2Lip } from './wav2lip-models.ts';

const smallSize = 8;

/** Runs one crop per mean. Each mel chunk is constant; the frames have distinct values. */
async function openModel(write: (path: string) => Promise<unknown>, size = smallSize) {
  const crop = cropLength(size);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-models-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await write(join(folder, 'model.onnx'));
  const session = await loadSession(join(folder, 'model.onnx'), { threads: 1 });
  onTestFinished(() => session.release());
  const facts = describeWav2LipModel(session);
  return {
    facts,
    async run(...means: readonly number[]): Promise<readonly Float32Array[]> {
      const batch = means.length;
      const outputs = await session.run({
        mel_spectrogram: {
          type: 'float32',
          data: Float32Array.from({ length: batch * 1280 }, (_, index) => means[Math.floor(index / 1280)] ?? 0),
          dims: [batch, 1, 80, 16],
        },
        video_frames: { type: 'float32', data: frames(batch, size), dims: [batch, 6, size, size] },
        ...(facts.startRowInput === null ? {} : { [facts.startRowInput]: startRowTensor(0) }),
      });
      const data = Float32Array.from(outputs.predicted_frames?.data ?? [], Number);
      return means.map((_, index) => data.subarray(index * crop, (index + 1) * crop));
    },
  };
}

function cropLength(size: number): number {
  return size * size * 3;
}

function frames(batch: number, size = smallSize): Float32Array {
  return Float32Array.from({ length: batch * cropLength(size) * 2 }, (_, index) => index / 1024);
}

function unmasked(index: number): Float32Array {
  return frames(index + 1).subarray((index * 2 + 1) * cropLength(smallSize));
}

describe('Identity model', () => {
  it('The identity model returns the reference crop at any batch size.', async () => {
    const { facts, run } = await openModel((path) => writeIdentityModel(path, { cropSizePx: smallSize }));
    expect(facts).toMatchObject({ cropSizePx: smallSize, fixedBatch: null });
    expect(await run(0, 1, 2)).toEqual([unmasked(0), unmasked(1), unmasked(2)]);
  });

  it('The identity model can have a fixed batch size.', async () => {
    const { facts, run } = await openModel((path) =>
      writeIdentityModel(path, { cropSizePx: smallSize, fixedBatch: 2 }),
    );
    expect(facts.fixedBatch).toBe(2);
    await expect(run(0, 0)).resolves.toHaveLength(2);
    await expect(run(0)).rejects.toThrow();
  });
});

describe('Meter model', () => {
  it('The meter model outputs the mean of each mel chunk.', async () => {
    const { run } = await openModel((path) => writeMeterModel(path, { cropSizePx: smallSize }));
    const pictures = await run(-4, 0, 4);
    expect(pictures).toEqual([0, 0.5, 1].map((gray) => new Float32Array(cropLength(smallSize)).fill(gray)));
  });
});

describe('Fault model', () => {
  it('The fault model is the identity by default.', async () => {
    const { run } = await openModel((path) => writeFaultModel(path, { cropSizePx: smallSize }));
    expect(await run(-4, 4)).toEqual([unmasked(0), unmasked(1)]);
  });

  it('The fault model fails at batches above largestBatch.', async () => {
    const { run } = await openModel((path) => writeFaultModel(path, { cropSizePx: smallSize, largestBatch: 2 }));
    await expect(run(0, 0, 0)).rejects.toMatchObject({ code: 'internal' });
    expect(await run(0, 0)).toEqual([unmasked(0), unmasked(1)]);
  });

  it('The fault model fails at chunks above failAboveMean.', async () => {
    const { run } = await openModel((path) => writeFaultModel(path, { cropSizePx: smallSize, failAboveMean: 1 }));
    await expect(run(0, 2)).rejects.toMatchObject({ code: 'internal' });
    expect(await run(0, 1)).toHaveLength(2);
  });

  it('The fault model outputs NaN only for chunks above nanAboveMean.', async () => {
    const { run } = await openModel((path) => writeFaultModel(path, { cropSizePx: smallSize, nanAboveMean: 1 }));
    expect(await run(0, 2)).toEqual([unmasked(0), new Float32Array(cropLength(smallSize)).fill(Number.NaN)]);
  });
});

describe('Seeded Wav2Lip', () => {
  it('A seeded network with a moving mouth draws a mouth that is darker for louder speech.', async () => {
    const network = { widthDivisor: 16, seed: 1, movingMouth: true } as const;
    const { facts, run } = await openModel((path) => writeSeededWav2Lip(path, network), 96);
    expect(facts).toMatchObject({ cropSizePx: 96 });
    const levelAt = async (mean: number): Promise<number> =>
      (await run(mean))[0]?.reduce((sum, value) => sum + value, 0) ?? NaN;
    const [quiet, louder, loud] = [await levelAt(-4), await levelAt(-1), await levelAt(4)];
    expect(louder).toBeLessThan(quiet);
    expect(loud).toBeLessThan(louder);
  });
});
