import type { CarriedFailure } from '../../../errors/carried-failure.ts';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';

/** Kinds of devices that can run a model. */
export type EngineDevice = 'cuda' | 'webgpu' | 'cpu';

/** A device of this machine. Plain data: it crosses a process boundary. */
export interface MachineDevice {
  /** Unique and readable, e.g. `cuda:0`. */
  readonly name: string;
  readonly kind: EngineDevice;
  /** The device as the ONNX runtime identifies it. */
  readonly onnxDevice: OnnxDevice;
}

/** The socket and the parameters of a running engine. Plain data: it is part of a render task. */
export interface EngineAddress {
  readonly socketPath: string;
  readonly device: EngineDevice;
  /** Width and height of the face crops that the model reads and draws. */
  readonly cropSizePx: number;
  /** Faces per batch that suit the device; the engine splits larger batches. */
  readonly batchSize: number;
}

/** A configured model. */
export interface ModelSource {
  /** A .onnx file, or an official checkpoint, which is imported once. */
  readonly path: string;
  /** Folder for imported models. */
  readonly cacheFolder: string;
}

/** IPC messages from the pool to an engine process: `start` once, then `ping` before each lease. */
export type ToEngine = EngineStart | { readonly type: 'ping' };

export interface EngineStart {
  readonly type: 'start';
  readonly source: ModelSource;
  readonly device: MachineDevice;
  /** In a folder of its own, which the engine deletes when its pool has ended. */
  readonly socketPath: string;
  readonly heartbeatMs: number;
  /** Longest time for one run of the model; an engine that takes longer ends itself. */
  readonly batchLimitMs: number;
}

/** IPC messages from an engine process to its pool. */
export type FromEngine =
  | { readonly type: 'alive' | 'pong' }
  | { readonly type: 'ready'; readonly cropSizePx: number; readonly batchSize: number }
  | CarriedFailure;
