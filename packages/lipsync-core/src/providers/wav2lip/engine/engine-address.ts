/** Kinds of devices that a model is run on. */
export type EngineDevice = 'cuda' | 'webgpu' | 'cpu';

/** Where a running engine is reached and what it takes. Plain data: it goes into a render task. */
export interface EngineAddress {
  readonly socketPath: string;
  readonly device: EngineDevice;
  /** Width and height of the faces that it takes and gives. */
  readonly cropSizePx: number;
  /** Faces per batch that suit the device; larger batches are cut up. */
  readonly batchSize: number;
}

/** A model as it was configured. */
export interface ModelSource {
  /** A .onnx file, or an official checkpoint, which is imported once. */
  readonly path: string;
  /** Where imported models are kept. */
  readonly cacheFolder: string;
}
