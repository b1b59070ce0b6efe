import { access, constants } from 'node:fs/promises';
import nodeModule from 'node:module';
import { dirname, join } from 'node:path';
import type * as OnnxRuntime from 'onnxruntime-node';
import { LipsyncError } from '../errors/index.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { measureSaturation } from './eight-bit-saturation.ts';

/** A dense row-major tensor; `data.length` is the product of `dims`. */
export type OnnxTensor =
  | { readonly type: 'float32'; readonly data: Float32Array; readonly dims: readonly number[] }
  | { readonly type: 'int64'; readonly data: BigInt64Array; readonly dims: readonly number[] };

/** Metadata of a model input or output. */
export interface PortInfo {
  readonly name: string;
  /** `float32`, `int64`, …; null when the port is not a tensor. */
  readonly elementType: string | null;
  /** Sizes; null for a dynamic axis. */
  readonly dims: readonly (number | null)[];
}

/** The execution provider of a session. */
export type OnnxDevice =
  | { readonly kind: 'cuda'; /** Zero-based GPU number. */ readonly index: number }
  | { readonly kind: 'webgpu' }
  | { readonly kind: 'cpu' };

export interface OnnxSessionOptions {
  /** Intra-op threads, at least 1. In a GPU session they run only operators without a GPU kernel. */
  readonly threads: number;
  /** Defaults to the CPU. */
  readonly device?: OnnxDevice;
  /** Whether idle threads spin briefly before they sleep. Defaults to true. */
  readonly spinning?: boolean;
}

/**
 * Loads an ONNX model from a path or from bytes; the caller releases the session. Throws `model_missing` when the path
 * cannot be read, `model_invalid` when the model does not load on the CPU, and `not_supported` when it does not load on
 * another device, where device and model are both possible causes.
 */
export async function loadSession(model: string | Uint8Array, options: OnnxSessionOptions): Promise<OnnxSession> {
  if (typeof model === 'string') await checkReadable(model);
  const runtime = await loadRuntime();
  return new OnnxSession(runtime, await createSession(runtime, model, options));
}

/** A loaded model. Created by `loadSession`. */
export class OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  readonly #runtime: typeof OnnxRuntime;
  readonly #session: OnnxRuntime.InferenceSession;

  constructor(runtime: typeof OnnxRuntime, session: OnnxRuntime.InferenceSession) {
    this.#runtime = runtime;
    this.#session = session;
    this.inputNames = session.inputNames;
    this.outputNames = session.outputNames;
    this.inputs = session.inputMetadata.map(toPortInfo);
    this.outputs = session.outputMetadata.map(toPortInfo);
  }

  /**
   * Runs the model once. The caller owns the returned arrays. Throws `internal` for a missing input, a wrong shape, and
   * an output whose element type is not in `OnnxTensor`.
   */
  async run(inputs: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>> {
    const feeds = Object.entries(inputs).map(([name, tensor]) => [name, toRuntimeTensor(this.#runtime, tensor)]);
    try {
      const outputs = Object.entries(await this.#session.run(Object.fromEntries(feeds)));
      return Object.fromEntries(outputs.map(([name, tensor]) => [name, fromRuntimeTensor(name, tensor)]));
    } catch (cause) {
      if (LipsyncError.isInstance(cause)) throw cause;
      throw new LipsyncError(
        'internal',
        'The model rejected its input. This is a bug in this service; please report it.',
        {
          cause,
        },
      );
    }
  }

  /** Frees the memory of the model; the session cannot be used afterwards. */
  release(): Promise<void> {
    return this.#session.release();
  }
}

/** As `measureSaturation`; a property of the processor. */
export const saturatesEightBitProducts = memoizeAsync(async () => measureSaturation(await loadRuntime()), {
  retryAfterFailure: true,
});

async function checkReadable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw new LipsyncError(
      'model_missing',
      'A model file is missing or cannot be read. Reinstall the package or check the configured model path.',
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
    // The pattern reserves one block for all intermediate results of each batch size: 73 MiB more for Wav2Lip, not faster.
    enableMemPattern: device.kind !== 'cpu',
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
        `${device.kind} is not available: the GPU, its driver or its libraries are missing, or the model does not support it.`,
        { cause },
      );
    throw new LipsyncError(
      'model_invalid',
      'The model file is damaged or is not a supported ONNX model. Download it again.',
      { cause },
    );
  }
}

/** The runtime reports a dynamic axis as a string, which may be empty. */
function toPortInfo(port: OnnxRuntime.InferenceSession.ValueMetadata): PortInfo {
  if (!port.isTensor) return { name: port.name, elementType: null, dims: [] };
  return {
    name: port.name,
    elementType: port.type,
    dims: port.shape.map((size) => (typeof size === 'number' ? size : null)),
  };
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
  throw new LipsyncError('internal', `The model output "${name}" has an unsupported element type.`);
}

/**
 * Loads the ONNX runtime with telemetry disabled; otherwise it stores a device id in the home folder and reports
 * sessions to Microsoft. The library reads the variable only while it is loaded, so nothing else may import it.
 */
async function loadRuntime(): Promise<typeof OnnxRuntime> {
  // oxlint-disable-next-line node/no-process-env -- not a setting: the library's only switch
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  return import('onnxruntime-node');
}

/** Folder of the native libraries of the installed ONNX runtime; null when the runtime is not installed. */
export function runtimeLibraryFolder(): string | null {
  const packageJson = nodeModule.findPackageJSON('onnxruntime-node', import.meta.url);
  return packageJson === undefined
    ? null
    : join(dirname(packageJson), 'bin', 'napi-v6', process.platform, process.arch);
}

/**
 * Whether `folder` contains the CUDA execution provider, which the npm package does not include. Only creating a
 * session shows whether GPU, driver and NVIDIA libraries are usable.
 */
export async function hasCudaLibrary(folder: string | null): Promise<boolean> {
  if (folder === null) return false;
  return access(join(folder, 'libonnxruntime_providers_cuda.so')).then(
    () => true,
    () => false,
  );
}
