import { readdir } from 'node:fs/promises';
import type { EngineDevice, MachineDevice } from './engine-address.ts';

/** Devices grouped by kind, fastest kind first. */
export type DevicesByKind = readonly (readonly MachineDevice[])[];

export interface DeviceSearch {
  /** Whether devices other than the CPU may be used. */
  readonly gpuEnabled: boolean;
  /** Value of CUDA_VISIBLE_DEVICES; null if it is not set. */
  readonly cudaVisibleDevices: string | null;
  /** Folder in which the NVIDIA driver lists its GPUs. */
  readonly nvidiaFolder?: string;
}

const driverFolder = '/proc/driver/nvidia/gpus';
const facesPerBatch: Readonly<Record<EngineDevice, number>> = { cuda: 32, webgpu: 32, cpu: 8 };

/** Faces per batch that suit a device, rounded up to a multiple of the batch size of a model that accepts no other. */
export function getBatchSize(device: EngineDevice, fixedBatch: number | null): number {
  if (fixedBatch === null) return facesPerBatch[device];
  return Math.ceil(facesPerBatch[device] / fixedBatch) * fixedBatch;
}

/** Lists the devices of this machine to try, including every GPU that is visible to CUDA. */
export async function findDevices({
  gpuEnabled,
  cudaVisibleDevices,
  nvidiaFolder = driverFolder,
}: DeviceSearch): Promise<DevicesByKind> {
  const cpu: MachineDevice = { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } };
  if (!gpuEnabled) return [[cpu]];
  const present = await readdir(nvidiaFolder).catch(() => []);
  const gpus = Array.from({ length: countGpus(present.length, cudaVisibleDevices) }, (_, index) => cudaDevice(index));
  return [gpus, [{ name: 'webgpu', kind: 'webgpu', onnxDevice: { kind: 'webgpu' } }], [cpu]];
}

/** CUDA renumbers visible devices from 0. */
function cudaDevice(index: number): MachineDevice {
  return { name: `cuda:${index}`, kind: 'cuda', onnxDevice: { kind: 'cuda', index } };
}

/**
 * At least one GPU, or those that the variable names, is tried even if the driver lists none: not every system lists
 * them.
 */
function countGpus(present: number, visible: string | null): number {
  if (visible === null) return Math.max(1, present);
  const names = visible.split(',').map((name) => name.trim());
  // CUDA ignores everything from the first invalid name on.
  const firstInvalid = names.findIndex((name) => !isGpu(name, present));
  return firstInvalid === -1 ? names.length : firstInvalid;
}

function isGpu(name: string, present: number): boolean {
  if (/^(GPU|MIG)-/.test(name)) return true;
  return /^\d+$/.test(name) && (present === 0 || Number(name) < present);
}
