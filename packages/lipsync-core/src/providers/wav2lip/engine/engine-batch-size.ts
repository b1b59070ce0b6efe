import type { EngineDevice } from './engine-address.ts';

const facesPerBatch: Readonly<Record<EngineDevice, number>> = { cuda: 32, webgpu: 32, cpu: 8 };

/** Faces per batch that suit a device; whole batches of a model that takes no other size. */
export function engineBatchSize(device: EngineDevice, fixedBatch: number | null): number {
  if (fixedBatch === null) return facesPerBatch[device];
  return Math.ceil(facesPerBatch[device] / fixedBatch) * fixedBatch;
}
