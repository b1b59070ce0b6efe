import type { CarriedFailure } from '../../../errors/carried-failure.ts';
import type { ModelSource } from './engine-address.ts';
import type { MachineDevice } from './engine-devices.ts';

/** What the pool says to an engine: once what it is to be, then, before each lease, a question to be answered at once. */
export type ToEngine = EngineStart | { readonly type: 'ask' };

export interface EngineStart {
  readonly type: 'start';
  readonly source: ModelSource;
  readonly device: MachineDevice;
  /** In a folder of its own, which the engine removes when its pool is gone. */
  readonly socketPath: string;
  readonly heartbeatMs: number;
  /** An engine that works for longer on as many faces as it runs at once ends itself. */
  readonly batchLimitMs: number;
}

/** What an engine says to its pool. */
export type FromEngine =
  | { readonly type: 'alive' | 'answer' }
  | { readonly type: 'ready'; readonly cropSizePx: number; readonly batchSize: number }
  | CarriedFailure;

/** To the thread that owns the model. It answers one after the other, in order. */
export interface ToModelThread {
  readonly count: number;
  /** Sound, faces and, where there are some, references, as they came in the message. */
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly largestBatch: number;
}

export type FromModelThread =
  | { readonly type: 'ready'; readonly cropSizePx: number; readonly fixedBatch: number | null }
  | { readonly type: 'drawn'; readonly faces: Uint8Array<ArrayBuffer>; readonly reducedTo: number | null }
  | CarriedFailure;
