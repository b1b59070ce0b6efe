import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { importModel, type ImportReport, type ModelImport } from '../../src/inference/models/import-model.ts';
import { readModelRecord } from '../../src/inference/models/model-record.ts';
import { prepareModel, requireExactProducts } from '../../src/providers/wav2lip/engine/prepare-model.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { runCli } from '../cli/run-cli.ts';
import { checkpointBytes, seededState } from './seeded-checkpoint.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const { maxDurationMs, maxDimensionPx } = configFromEnvironment({});
const calibration = {
  clipPath: join(samples, 'presenter.png'),
  speechPath: join(samples, 'speech.wav'),
  maxError: 1,
  limits: { maxDurationMs, maxDimensionPx },
};
const { signal } = new AbortController();

const error = { mean_levels: 0.5, worst_levels: 9, ssim: 0.99 };
const quantization = {
  max_error: 1,
  calibration: { clip_sha256: '', observed_faces: 32, measured_faces: 16 },
  float_layers: [],
  error,
  ms_per_face: { float32: 10, int8: 4 },
  steps: [{ float_layers: 0, ...error }],
};

let folder: string;
let outputPath: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-quantized-'));
  outputPath = join(folder, 'models', 'model.onnx');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function writeCheckpoint(): Promise<string> {
  const checkpointPath = join(folder, 'wav2lip.pth');
  await writeFile(checkpointPath, checkpointBytes(await seededState(16, 7), { format: 'zip' }));
  return checkpointPath;
}

async function importInt8(options: Partial<ModelImport> = {}): Promise<ImportReport> {
  const request = { checkpointPath: await writeCheckpoint(), outputPath, calibration, signal, ...options };
  return importModel(request, [wav2lipKind]);
}

describe('Import in eight bits', () => {
  it('Record, models verify and models list name form, error and speed, and the engine draws with the model.', async () => {
    const { clipPath, speechPath } = calibration;
    const flags = ['--precision', 'int8', '--calibrate', clipPath, '--calibrate-speech', speechPath];
    const imported = await runCli('models', 'import', await writeCheckpoint(), '-o', outputPath, ...flags);
    expect(imported.exitCode).toBe(0);
    const record = await readModelRecord(outputPath);
    expect(record).toMatchObject({
      model: { element_type: 'int8', form: 'quantized' },
      verification: { layers: 51 },
      quantization: {
        max_error: 1,
        calibration: { observed_faces: 32, measured_faces: 16 },
        float_layers: [],
        steps: [{ float_layers: 0 }],
      },
    });
    const { error: found, ms_per_face: ms } = record?.quantization ?? {};
    expect(found?.mean_levels).toBeGreaterThan(0);
    expect(found?.mean_levels).toBeLessThanOrEqual(1);
    expect(found?.ssim).toBeGreaterThan(0.95);
    expect(ms?.int8).toBeGreaterThan(0);
    expect(await readdir(join(folder, 'models'))).toEqual(['model.onnx', 'model.onnx.json']);
    const verified = await runCli('models', 'verify', outputPath);
    for (const output of [imported.stderr, verified.stdout]) {
      expect(output).toContain('int8, quantized layers, for a CPU');
      expect(output).toMatch(/error {7}mean 0\.\d+ and worst \d+ levels of 255, SSIM 0\.\d+ inside the paste/);
      expect(output).toContain('other faces and voices may lose more');
    }
    const listed = await runCli('models', 'list', '--folder', join(folder, 'models'));
    expect(listed.stdout).toContain(' · int8, quantized layers, for a CPU · ');
    const model = await prepareModel({ path: outputPath, cacheFolder: folder }, { kind: 'cpu' }, signal);
    expect(model.facts).toMatchObject({ cropSizePx: 96, fixedBatch: null });
    await model.release();
  });

  it.each([
    [127, true, true],
    [127, false, false],
    [63, true, false],
  ] as const)(
    'Weights of up to %i on a processor that saturates (%s) are refused: %s.',
    async (largest, saturates, refused) => {
      const check = requireExactProducts(
        { quantization: { ...quantization, largest_weight: largest } },
        async () => saturates,
      );
      if (refused) await expect(check).rejects.toMatchObject({ code: 'model_invalid' });
      else await expect(check).resolves.toBeUndefined();
    },
  );

  it('An import that is aborted during the calibration leaves nothing behind.', async () => {
    const controller = new AbortController();
    const onProgress = (done: number): void => {
      if (done >= 0.1) controller.abort(new Error('stop'));
    };
    await expect(importInt8({ signal: controller.signal, onProgress })).rejects.toThrow();
    expect(await readdir(join(folder, 'models'))).toEqual([]);
  });

  it.each([
    ['a clip without a picture', { clipPath: join(samples, 'speech.wav') }, 'clip_unusable'],
    ['a clip without sound', { speechPath: null }, 'speech_unusable'],
  ] as const)('%s is refused.', async (_, change, code) => {
    await expect(importInt8({ calibration: { ...calibration, ...change } })).rejects.toMatchObject({ code });
    expect(await readdir(join(folder, 'models'))).toEqual([]);
  });
});
