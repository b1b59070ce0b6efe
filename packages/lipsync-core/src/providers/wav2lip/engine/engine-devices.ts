import { readdir } from 'node:fs/promises';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';
import { engineDevices, type EngineDevice } from './engine-address.ts';

const nvidiaFolder = '/proc/driver/nvidia/gpus';

/**
 * The devices to try, kind by kind: those of `wanted` that may be used, every CUDA GPU of this machine among them. Where
 * the system tells of no GPU, one is tried all the same: not every system tells.
 */
export async function findDevices(wanted: readonly EngineDevice[], gpuEnabled: boolean): Promise<readonly (readonly OnnxDevice[])[]> {
  const kinds = engineDevices.filter((kind) => wanted.includes(kind) && (gpuEnabled || kind === 'cpu'));
  const gpus = kinds.includes('cuda') ? await readdir(nvidiaFolder).catch(() => []) : [];
  return kinds.map((kind) => {
    if (kind !== 'cuda') return [{ kind }];
    return Array.from({ length: Math.max(1, gpus.length) }, (_, index) => ({ kind, index }));
  });
}

/** The device's name for people. */
export function deviceName(device: OnnxDevice): string {
  return device.kind === 'cuda' ? `cuda:${device.index}` : device.kind;
}
