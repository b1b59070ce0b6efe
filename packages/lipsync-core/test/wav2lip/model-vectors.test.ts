import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/inference/checkpoints/checkpoint.ts';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { importModel } from '../../src/inference/models/import-model.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { startRowInputName, startRowTensor } from '../../src/providers/wav2lip/model/start-rows.ts';
import { checkpointBytes, type State } from './seeded-checkpoint.ts';

const vectorsDir = process.env['LIPSYNC_TEST_VECTORS_DIR'] ?? '';
const { signal } = new AbortController();

function vectorPath(name: string): string {
  return join(vectorsDir, 'wav2lip', name);
}

async function readVector(name: string): Promise<Float32Array> {
  const bytes = await readFile(vectorPath(name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

async function runModel(modelPath: string): Promise<Float32Array> {
  const session = await loadSession(modelPath, { threads: 2 });
  const { predicted_frames: frames } = await session.run({
    mel_spectrogram: { type: 'float32', data: await readVector('mel.f32'), dims: [2, 1, 80, 16] },
    video_frames: { type: 'float32', data: await readVector('faces.f32'), dims: [2, 6, 96, 96] },
    ...(session.inputNames.includes(startRowInputName) ? { [startRowInputName]: startRowTensor(0) } : {}),
  });
  await session.release();
  return Float32Array.from(frames?.data ?? [], Number);
}

async function largestError(modelPath: string): Promise<number> {
  const [output, expected] = [await runModel(modelPath), await readVector('out.f32')];
  expect(output).toHaveLength(expected.length);
  return output.reduce(
    (largest, value, index) => Math.max(largest, Math.abs(value - (expected[index] ?? Number.NaN))),
    0,
  );
}

/** The tensors of the vector as a zip checkpoint without name prefix. */
async function toZipCheckpoint(): Promise<Buffer> {
  const checkpoint = await openCheckpoint(vectorPath('wav2lip.pth'), { signal });
  const state: State = new Map();
  for (const { name, dims, elementType } of checkpoint.tensors.values()) {
    if (elementType === 'float32') state.set(name, { dims, values: await checkpoint.read(name) });
  }
  await checkpoint.close();
  return checkpointBytes(state, { format: 'zip' });
}

describe.skipIf(vectorsDir === '')('Full-size checkpoint written by PyTorch (needs LIPSYNC_TEST_VECTORS_DIR)', () => {
  let folder: string;
  let modelPath: string;
  let measured: { readonly processorMs: number; readonly peakBytes: number };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-vectors-'));
    modelPath = join(folder, 'wav2lip.onnx');
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(import.meta.dirname, 'import-and-measure.ts'),
      vectorPath('wav2lip.pth'),
      modelPath,
    ]);
    measured = JSON.parse(stdout);
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('The import needs less than 30 s of CPU time and 1 GiB of memory.', () => {
    expect(measured.processorMs).toBeLessThan(30_000);
    expect(measured.peakBytes).toBeLessThan(2 ** 30);
  });

  it('The imported model matches PyTorch within 1e-4.', async () => {
    expect(await largestError(modelPath)).toBeLessThan(1e-4);
  });

  it('The float16 model matches PyTorch within 0.02.', async () => {
    const { modelPath: half } = await importModel(
      {
        checkpointPath: vectorPath('wav2lip.pth'),
        outputPath: join(folder, 'half.onnx'),
        float16: true,
        signal,
      },
      [wav2lipKind],
    );
    expect(await largestError(half)).toBeLessThan(0.02);
  }, 120_000);

  it('The zip format yields the same model bytes.', async () => {
    const checkpointPath = join(folder, 'wav2lip.pt');
    await writeFile(checkpointPath, await toZipCheckpoint());
    const { modelPath: other } = await importModel(
      {
        checkpointPath,
        outputPath: join(folder, 'other.onnx'),
        signal,
      },
      [wav2lipKind],
    );
    expect((await readFile(other)).equals(await readFile(modelPath))).toBe(true);
  }, 120_000);
});
