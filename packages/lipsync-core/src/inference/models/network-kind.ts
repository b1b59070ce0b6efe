import type { OnnxSession, PortInfo } from '../onnx-session.ts';
import type { OnnxGraph } from '../onnx-writer.ts';
import type { Quantization } from './quantization.ts';

/** A source of named tensors: a checkpoint, or seeded test weights. The caller owns the row-major values. */
export interface TensorSource {
  read(name: string): Promise<Float32Array>;
}

export interface TensorShape {
  readonly name: string;
  readonly dims: readonly number[];
}

/** The shapes of a checkpoint's tensors by name. */
export type TensorDims = ReadonlyMap<string, { readonly dims: readonly number[] }>;

/**
 * `plain`: each layer with the operators of its definition, for GPUs. `rewritten`: layers with fewer multiplications
 * and memory passes, for CPUs. Both compute the same result up to rounding. A record also has `quantized`: most layers
 * in eight bits, for CPUs, within a measured error.
 */
export type GraphForm = 'plain' | 'rewritten';

/** Element type of weights and activations. Inputs and outputs of a model are always float32. */
export type ElementType = 'float32' | 'float16';

/** float16 is for GPUs and therefore requires plain layers. */
export type GraphKind =
  | { readonly elementType: 'float32'; readonly form: GraphForm }
  | { readonly elementType: 'float16'; readonly form: 'plain' };

/** The tensors of a checkpoint. */
export interface NetworkWeights {
  readonly tensors: TensorDims;
  readonly source: TensorSource;
}

export interface Verification {
  readonly layers: number;
  /** Largest error relative to the sum of the magnitudes of the added terms. */
  readonly largestError: number;
}

/** A written, unpublished model file; a verification extends it temporarily. */
export interface WrittenFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** A network with the weights of a checkpoint. */
export interface BuiltNetwork {
  readonly graph: OnnxGraph;
  /**
   * Compares every layer of the written graph with its definition, computed from the checkpoint. Throws `model_invalid`
   * when one deviates.
   */
  verify(file: WrittenFile, signal: AbortSignal): Promise<Verification>;
}

/** The clip that eight-bit scales are derived from, and how large the error may be. */
export interface CalibrationRequest {
  readonly clipPath: string;
  /** A recording of speech; null for the sound of the clip. */
  readonly speechPath: string | null;
  /** Largest mean difference from the float32 form, in levels of 255, where drawings are pasted. */
  readonly maxError: number;
  readonly limits: { readonly maxDurationMs: number; readonly maxDimensionPx: number };
}

export interface QuantizationContext {
  /** Folder for temporary files, which the caller removes. */
  readonly workFolder: string;
  readonly signal: AbortSignal;
  /** Called with the completed share, 0 to 1. */
  onProgress(done: number): void;
}

/** A network in eight bits, with what the calibration measured. */
export interface QuantizedNetwork extends BuiltNetwork {
  readonly quantization: Quantization;
}

export interface NetworkPorts {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
}

/** Facts of a model for `models verify`: fields of its JSON, and one line for people. */
export interface TriedFacts {
  readonly facts: object;
  readonly summary: string;
}

/** Runs models of one network. Lives in a module of its own, which a separate process loads. */
export interface NetworkTrial {
  /** Whether inputs and outputs may be those of this network. */
  matches(ports: NetworkPorts): boolean;
  /** Runs the model once on test inputs. Throws `model_invalid` for another model and for values that are not finite. */
  run(session: OnnxSession): Promise<TriedFacts>;
}

/** A network whose published weights can be imported. `service/network-kinds.ts` lists all of them. */
export interface NetworkKind {
  /** Stored in the records of its models. */
  readonly id: string;
  /** Completes the sentence "The checkpoint is not …". */
  readonly title: string;
  /** The files that its authors released, for error messages. */
  readonly releasedFiles: string;
  readonly role: string;
  readonly source: string;
  readonly licence: string;
  /** A tensor that identifies its checkpoints: no other network has one of this name. */
  readonly markerTensor: string;
  /** Increment when the written models change; models of older versions are imported again. */
  readonly importerVersion: number;
  /** Whether `GraphKind` can be chosen. Otherwise models are float32 and their records have no form. */
  readonly hasForms: boolean;
  /** URL of a module that exports the `NetworkTrial` of this network as `networkTrial`. */
  readonly trialModule: URL;
  /**
   * Builds the graph, with weights read from the source. Throws `model_invalid` when the tensors are not those of the
   * network.
   */
  build(tensors: TensorDims, source: TensorSource, kind: GraphKind): Promise<BuiltNetwork>;
  /**
   * Builds the graph in eight bits; absent for a network without this form. Throws like `build`, the errors of reading
   * the calibration clip, and `not_supported` when the error cannot be met.
   */
  quantize?(
    weights: NetworkWeights,
    request: CalibrationRequest,
    context: QuantizationContext,
  ): Promise<QuantizedNetwork>;
}
