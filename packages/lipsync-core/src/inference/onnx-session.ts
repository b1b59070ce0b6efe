import { readFile } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { loadRuntime, type OnnxRuntime } from './onnx-runtime.ts';

/** A dense tensor as plain data; `data.length` is the product of `dims`. int64 values are bigints. */
export type OnnxTensor =
  | { readonly type: 'float32'; readonly data: Float32Array; readonly dims: readonly number[] }
  | { readonly type: 'int64'; readonly data: BigInt64Array; readonly dims: readonly number[] };

export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the model once. Throws `internal` when an input is missing or of another shape, or when an output is of an
   * element type that `OnnxTensor` does not know. The arrays of the answer belong to the caller.
   */
  run(inputs: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>;
  /** Frees the model's memory. The session cannot be used afterwards. */
  release(): Promise<void>;
}

export interface OnnxSessionOptions {
  /** Threads for one operator, at least 1. */
  readonly threads: number;
}

/**
 * Loads an ONNX model on the CPU from a path or from its bytes. The caller releases the session.
 * Throws `model_missing` when the path cannot be read and `model_invalid` when the bytes are not a model that runs here.
 */
export async function loadSession(model: string | Uint8Array, options: OnnxSessionOptions): Promise<OnnxSession> {
  const bytes = typeof model === 'string' ? await readModel(model) : model;
  const runtime = await loadRuntime();
  const session = await createSession(runtime, bytes, options);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (inputs) => runSession(runtime, session, inputs),
    release: () => session.release(),
  };
}

async function readModel(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new LipsyncError('model_missing', 'A model file is missing or cannot be read. Install the package again or check the configured model path.', { cause });
  }
}

async function createSession(runtime: typeof OnnxRuntime, bytes: Uint8Array, { threads }: OnnxSessionOptions): Promise<OnnxRuntime.InferenceSession> {
  try {
    return await runtime.InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  } catch (cause) {
    throw new LipsyncError('model_invalid', 'A model file is damaged or is not an ONNX model that this version can run. Fetch it again.', { cause });
  }
}

async function runSession(
  runtime: typeof OnnxRuntime,
  session: OnnxRuntime.InferenceSession,
  inputs: Readonly<Record<string, OnnxTensor>>,
): Promise<Readonly<Record<string, OnnxTensor>>> {
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, toRuntimeTensor(runtime, tensor)]));
  try {
    const outputs = await session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, fromRuntimeTensor(name, tensor)]));
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw new LipsyncError('internal', 'A model refused its input. This is a fault on our side; please report it.', { cause });
  }
}

function toRuntimeTensor(runtime: typeof OnnxRuntime, tensor: OnnxTensor): OnnxRuntime.Tensor {
  return tensor.type === 'float32'
    ? new runtime.Tensor('float32', tensor.data, [...tensor.dims])
    : new runtime.Tensor('int64', tensor.data, [...tensor.dims]);
}

function fromRuntimeTensor(name: string, tensor: OnnxRuntime.OnnxValue): OnnxTensor {
  const { data, dims } = tensor;
  if (data instanceof Float32Array) return { type: 'float32', data, dims };
  if (data instanceof BigInt64Array) return { type: 'int64', data, dims };
  throw new LipsyncError('internal', `The model output "${name}" has an element type that is not supported.`);
}
