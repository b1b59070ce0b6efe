import { access, constants } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { loadRuntime, type OnnxRuntime } from './onnx-runtime.ts';

/** A dense tensor as plain data; `data.length` is the product of `dims`. int64 values are bigints. */
export type OnnxTensor =
  | { readonly type: 'float32'; readonly data: Float32Array; readonly dims: readonly number[] }
  | { readonly type: 'int64'; readonly data: BigInt64Array; readonly dims: readonly number[] };

/** What a model says about one of its inputs or outputs. */
export interface PortFacts {
  readonly name: string;
  /** `float32`, `int64`, …; null for what is no tensor. */
  readonly elementType: string | null;
  /** Sizes; null for one that is free. */
  readonly dims: readonly (number | null)[];
}

/** Where a model is run. */
export type OnnxDevice =
  | { readonly kind: 'cuda'; /** Number of the GPU, from 0. */ readonly index: number }
  | { readonly kind: 'webgpu' }
  | { readonly kind: 'cpu' };

export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputs: readonly PortFacts[];
  readonly outputs: readonly PortFacts[];
  /**
   * Runs the model once. Throws `internal` when an input is missing or of another shape, or when an output is of an
   * element type that `OnnxTensor` does not know. The arrays of the answer belong to the caller.
   */
  run(inputs: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>;
  /** Frees the model's memory. The session cannot be used afterwards. */
  release(): Promise<void>;
}

export interface OnnxSessionOptions {
  /** Threads for one operator, at least 1. Threads of a GPU session work only on what the GPU cannot do. */
  readonly threads: number;
  /** The CPU where nothing is said. */
  readonly device?: OnnxDevice;
  /** Whether threads without work keep a core busy for a moment instead of sleeping at once; they do where nothing is said. */
  readonly spinning?: boolean;
}

/**
 * Loads an ONNX model from a path or from its bytes. The caller releases the session.
 * Throws `model_missing` when the path cannot be read, `model_invalid` when the model does not run on the CPU, and
 * `not_supported` when it does not run on another device: whether the device or the model is to blame is not known then.
 */
export async function loadSession(model: string | Uint8Array, options: OnnxSessionOptions): Promise<OnnxSession> {
  if (typeof model === 'string') await checkReadable(model);
  const runtime = await loadRuntime();
  const session = await createSession(runtime, model, options);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    inputs: session.inputMetadata.map(toPortFacts),
    outputs: session.outputMetadata.map(toPortFacts),
    run: (inputs) => runSession(runtime, session, inputs),
    release: () => session.release(),
  };
}

async function checkReadable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw new LipsyncError(
      'model_missing',
      'A model file is missing or cannot be read. Install the package again or check the configured model path.',
      { cause },
    );
  }
}

async function createSession(
  runtime: typeof OnnxRuntime,
  model: string | Uint8Array,
  { threads, device = { kind: 'cpu' }, spinning = true }: OnnxSessionOptions,
): Promise<OnnxRuntime.InferenceSession> {
  const options: OnnxRuntime.InferenceSession.SessionOptions = {
    executionProviders: [device.kind === 'cuda' ? { name: 'cuda', deviceId: device.index } : device.kind],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    extra: { session: { 'intra_op.allow_spinning': spinning ? '1' : '0' } },
  };
  try {
    return typeof model === 'string'
      ? await runtime.InferenceSession.create(model, options)
      : await runtime.InferenceSession.create(model, options);
  } catch (cause) {
    if (device.kind !== 'cpu')
      throw new LipsyncError(
        'not_supported',
        `${device.kind} cannot be used here: a GPU, its driver or its libraries are missing, or the model is not for it.`,
        { cause },
      );
    throw new LipsyncError(
      'model_invalid',
      'A model file is damaged or is not an ONNX model that this version can run. Fetch it again.',
      { cause },
    );
  }
}

/** A free size has a name, or an empty one, where a fixed size has a number. */
function toPortFacts(port: OnnxRuntime.InferenceSession.ValueMetadata): PortFacts {
  if (!port.isTensor) return { name: port.name, elementType: null, dims: [] };
  return {
    name: port.name,
    elementType: port.type,
    dims: port.shape.map((size) => (typeof size === 'number' ? size : null)),
  };
}

async function runSession(
  runtime: typeof OnnxRuntime,
  session: OnnxRuntime.InferenceSession,
  inputs: Readonly<Record<string, OnnxTensor>>,
): Promise<Readonly<Record<string, OnnxTensor>>> {
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]) => [name, toRuntimeTensor(runtime, tensor)]),
  );
  try {
    const outputs = await session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, fromRuntimeTensor(name, tensor)]));
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw new LipsyncError('internal', 'A model refused its input. This is a fault on our side; please report it.', {
      cause,
    });
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
