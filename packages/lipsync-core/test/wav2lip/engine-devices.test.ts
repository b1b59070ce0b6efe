import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findDevices } from '../../src/providers/wav2lip/engine/engine-devices.ts';
import { temporaryFolder } from './engine-fixture.ts';

/** Names of the devices that are found when the driver lists `gpus` GPUs. */
async function found(gpus: number, cudaVisibleDevices: string | null, gpuEnabled = true): Promise<string[][]> {
  const nvidiaFolder = await temporaryFolder();
  for (let gpu = 0; gpu < gpus; gpu += 1) await mkdir(join(nvidiaFolder, `0000:0${gpu}:00.0`));
  const devices = await findDevices({ gpuEnabled, cudaVisibleDevices, nvidiaFolder });
  return devices.map((equals) => equals.map(({ name }) => name));
}

describe('findDevices', () => {
  it('The devices of a machine are every GPU that the driver lists, then WebGPU, then the CPU.', async () => {
    expect(await found(2, null)).toEqual([['cuda:0', 'cuda:1'], ['webgpu'], ['cpu']]);
    const [[, second] = []] = await findDevices({
      gpuEnabled: true,
      cudaVisibleDevices: '0,1',
      nvidiaFolder: join(await temporaryFolder(), 'none'),
    });
    expect(second).toEqual({ name: 'cuda:1', kind: 'cuda', onnxDevice: { kind: 'cuda', index: 1 } });
  });

  it('One GPU is tried if the driver lists none.', async () => {
    const devices = await findDevices({
      gpuEnabled: true,
      cudaVisibleDevices: null,
      nvidiaFolder: join(await temporaryFolder(), 'none'),
    });
    expect(devices.map((equals) => equals.map(({ name }) => name))).toEqual([['cuda:0'], ['webgpu'], ['cpu']]);
  });

  it('Only the CPU is tried when GPUs are disabled.', async () => {
    expect(await found(2, null, false)).toEqual([['cpu']]);
  });

  it.each([
    ['one of four', 4, '2', 1],
    ['two in another order', 4, '3, 1', 2],
    ['those before a missing one', 2, '1,5,0', 1],
    ['none', 2, '', 0],
    ['none, by an invalid number', 2, '-1', 0],
    ['two by UUID', 4, 'GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-1', 2],
    ['two when the driver lists none', 0, '0,1', 2],
  ])('CUDA_VISIBLE_DEVICES restricts the GPUs: %s.', async (_, gpus, visible, count) => {
    const [cuda] = await found(gpus, visible);
    expect(cuda).toEqual(Array.from({ length: count }, (_gpu, index) => `cuda:${index}`));
  });
});
