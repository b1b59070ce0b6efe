import { readdir } from 'node:fs/promises';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';
import type { EngineDevice } from './engine-address.ts';

/** A device of this machine, as the pool sees it. Plain data: it crosses a process boundary. */
export interface MachineDevice {
  /** For people, and to tell it from the others. */
  readonly name: string;
  readonly kind: EngineDevice;
  /** What the runtime is told to use. */
  readonly onnxDevice: OnnxDevice;
}

/** Devices kind by kind, fastest kind first. */
export type DevicesByKind = readonly (readonly MachineDevice[])[];

export interface DeviceSearch {
  /** Whether anything but the CPU may be used. */
  readonly gpuEnabled: boolean;
  /** What CUDA_VISIBLE_DEVICES is set to; null where it is not set. */
  readonly cudaVisibleDevices: string | null;
  /** Where the driver has an entry for each of its GPUs. */
  readonly nvidiaFolder?: string;
}

const driversFolder = '/proc/driver/nvidia/gpus';

/** The devices of this machine that may be tried, every CUDA GPU that CUDA shows among them. */
export async function findDevices({
  gpuEnabled,
  cudaVisibleDevices,
  nvidiaFolder = driversFolder,
}: DeviceSearch): Promise<DevicesByKind> {
  const cpu: MachineDevice = { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } };
  if (!gpuEnabled) return [[cpu]];
  const present = await readdir(nvidiaFolder).catch(() => []);
  const gpus = Array.from({ length: countGpus(present.length, cudaVisibleDevices) }, (_, index) => cudaDevice(index));
  return [gpus, [{ name: 'webgpu', kind: 'webgpu', onnxDevice: { kind: 'webgpu' } }], [cpu]];
}

/** CUDA numbers anew, from 0, what it shows. */
function cudaDevice(index: number): MachineDevice {
  return { name: `cuda:${index}`, kind: 'cuda', onnxDevice: { kind: 'cuda', index } };
}

/** Where the system tells of no GPU, one is tried all the same, or those that the variable names: not every system tells. */
function countGpus(present: number, visible: string | null): number {
  if (visible === null) return Math.max(1, present);
  const names = visible.split(',').map((name) => name.trim());
  // CUDA goes along the list as far as the first name that it does not know, and no further.
  const unknown = names.findIndex((name) => !isGpu(name, present));
  return unknown === -1 ? names.length : unknown;
}

function isGpu(name: string, present: number): boolean {
  if (/^(GPU|MIG)-/.test(name)) return true;
  return /^\d+$/.test(name) && (present === 0 || Number(name) < present);
}
