import { join } from 'node:path';
import { cudaVisibleDevices } from '../../packages/lipsync-core/src/config/settings.ts';
import { toLipsyncError } from '../../packages/lipsync-core/src/errors/index.ts';
import {
  loadSession,
  type OnnxSession,
  type OnnxTensor,
} from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import type { MachineDevice } from '../../packages/lipsync-core/src/providers/wav2lip/engine/engine-address.ts';
import { findDevices } from '../../packages/lipsync-core/src/providers/wav2lip/engine/engine-devices.ts';
import { EnginePool, type EngineLease } from '../../packages/lipsync-core/src/providers/wav2lip/engine/engine-pool.ts';
import { testMelValue, testPixelValue } from '../../packages/lipsync-core/src/providers/wav2lip/model/try-model.ts';
import type { StageFigures } from '../../packages/lipsync-core/src/media/index.ts';
import { wav2lipRenderTask } from '../../packages/lipsync-core/src/providers/wav2lip/wav2lip-provider.ts';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import { prepareBenchJob, type BenchOptions, type Machine } from './bench-job.ts';

const precisions = ['float32', 'float16'] as const;
const batches = [1, 8, 32, 128] as const;
const comparedFaces = 8;
const timedMs = 3_000;

export interface GpuModelFigures {
  readonly device: string;
  readonly precision: (typeof precisions)[number];
  /** Why the model was not run; null if it was. */
  readonly notRun: string | null;
  /** Differences from the output of the CPU in float32, on a scale of 0 to 255. */
  readonly largestDifference: number | null;
  readonly meanDifference: number | null;
  /** By batch size; null for a batch size that failed. */
  readonly facesPerSecond: Readonly<Record<number, number | null>>;
}

export interface GpuTakeFigures {
  readonly device: string;
  readonly realTimeFactor: number;
  readonly realTimeFactorTracked: number;
  readonly stages: readonly StageFigures[];
}

export interface GpuBenchResult {
  readonly machine: Machine;
  readonly clip: string;
  readonly models: readonly GpuModelFigures[];
  /** Null without a usable GPU. */
  readonly take: GpuTakeFigures | null;
}

/** Measures the full-size model with seeded weights on every GPU, and a take on the device that a job would use. */
export async function benchGpu(options: BenchOptions): Promise<GpuBenchResult> {
  const { folder } = options;
  const paths = { float32: join(folder, 'float32.onnx'), float16: join(folder, 'float16.onnx') };
  await writeSeededWav2Lip(paths.float32, { widthDivisor: 1, seed: 1, plain: true });
  await writeSeededWav2Lip(paths.float16, { widthDivisor: 1, seed: 1, float16: true });
  const expected = await withSession(
    paths.float32,
    { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } },
    (session) => runModel(session, comparedFaces),
  );
  const gpus = (await findDevices({ gpuEnabled: true, cudaVisibleDevices: cudaVisibleDevices() }))
    .flat()
    .filter(({ kind }) => kind !== 'cpu');
  const models: GpuModelFigures[] = [];
  for (const device of gpus) {
    for (const precision of precisions) models.push(await measureModel(device, precision, paths[precision], expected));
  }
  const { machine, clip, take } = await measureTake(options, paths.float32);
  return { machine, clip, models, take };
}

async function measureModel(
  device: MachineDevice,
  precision: (typeof precisions)[number],
  path: string,
  expected: Float32Array,
): Promise<GpuModelFigures> {
  const row = { device: device.name, precision };
  try {
    return await withSession(path, device, async (session) => {
      const differences = (await runModel(session, comparedFaces)).map(
        (value, index) => 255 * Math.abs(value - (expected[index] ?? Number.NaN)),
      );
      const facesPerSecond: Record<number, number | null> = {};
      for (const batch of batches)
        facesPerSecond[batch] = await measureFacesPerSecond(session, batch).catch(() => null);
      const largestDifference = differences.reduce((largest, difference) => Math.max(largest, difference), 0);
      const meanDifference = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
      return { ...row, notRun: null, largestDifference, meanDifference, facesPerSecond };
    });
  } catch (error) {
    return {
      ...row,
      notRun: toLipsyncError(error).message,
      largestDifference: null,
      meanDifference: null,
      facesPerSecond: {},
    };
  }
}

async function withSession<Result>(
  path: string,
  device: MachineDevice,
  work: (session: OnnxSession) => Promise<Result>,
): Promise<Result> {
  const session = await loadSession(path, { threads: 2, device: device.onnxDevice });
  try {
    return await work(session);
  } finally {
    await session.release();
  }
}

async function measureFacesPerSecond(session: OnnxSession, batch: number): Promise<number> {
  await runModel(session, batch);
  const startedMs = performance.now();
  let faces = 0;
  while (performance.now() - startedMs < timedMs) {
    await runModel(session, batch);
    faces += batch;
  }
  return (1000 * faces) / (performance.now() - startedMs);
}

/** Runs the model on deterministic synthetic inputs. Returns its output. */
async function runModel(session: OnnxSession, faces: number): Promise<Float32Array> {
  const { predicted_frames: output } = await session.run({
    mel_spectrogram: tensor([faces, 1, 80, 16], testMelValue),
    video_frames: tensor([faces, 6, 96, 96], testPixelValue),
  });
  if (output?.type !== 'float32') throw new Error('The model has no float32 output predicted_frames.');
  return output.data;
}

function tensor(dims: readonly number[], valueAt: (index: number) => number): OnnxTensor {
  return {
    type: 'float32',
    dims,
    data: Float32Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, index) =>
      valueAt(index),
    ),
  };
}

/** Makes a take on the device that a job would use. */
async function measureTake(
  options: BenchOptions,
  modelPath: string,
): Promise<Pick<GpuBenchResult, 'machine' | 'clip' | 'take'>> {
  const { folder, signal } = options;
  const { machine, clip, outputSeconds, input, pool, time } = await prepareBenchJob(options);
  const engines = new EnginePool({ idleMs: 60_000, gpuEnabled: true, cudaVisibleDevices: cudaVisibleDevices() });
  try {
    const lease: EngineLease = await engines.lease({ path: modelPath, cacheFolder: folder }, { signal });
    if (lease.deviceName === 'cpu') return { machine, clip, take: null };
    const render = () =>
      pool.run(
        wav2lipRenderTask,
        { ...input, engine: lease.engine, windowStartMs: -40, colorMatch: true, sharpen: true },
        { signal },
      );
    const first = await time(render);
    const second = await time(render);
    return {
      machine,
      clip,
      take: {
        device: lease.deviceName,
        realTimeFactor: first.seconds / outputSeconds,
        realTimeFactorTracked: second.seconds / outputSeconds,
        stages: second.report.stages,
      },
    };
  } finally {
    await engines.close();
    await pool.close();
  }
}
