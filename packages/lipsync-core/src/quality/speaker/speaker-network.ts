/**
 * The architecture of LR-ASD: whether a face speaks, from its mouth and the sound (source: Liao et al., "LR-ASD:
 * Lightweight and Robust Network for Active Speaker Detection", IJCV 2025, and the shapes of its published weights).
 */

/** Side of the gray crops. */
export const speakerCropPx = 112;
/** MFCC rows per frame. */
export const mfccRowsPerFrame = 4;

/** A convolution without bias, padded to keep its size, with batch normalization and ReLU. */
export interface SpeakerLayer {
  /** Name of its output in the graph. */
  readonly name: string;
  readonly weight: string;
  /** Prefix of the batch normalization's tensors. */
  readonly norm: string;
  readonly inputChannels: number;
  readonly outputChannels: number;
  /**
   * Rows and columns of each picture; or time and 1, over pictures whose pixels are one axis; or coefficients and time of
   * sound. The authors' kernels of pictures have three axes, of which at least one is 1: a runtime takes half as long
   * again for them.
   */
  readonly kernel: readonly [number, number];
  readonly stride: number;
  /** The kernel as the checkpoint stores it. */
  readonly storedKernel: readonly number[];
}

/** A channel gate: the input times the sigmoid of a normalized linear map of itself. */
export interface SpeakerGate {
  readonly name: string;
  readonly weight: string;
  readonly norm: string;
  readonly channels: number;
}

export interface SpeakerBlock {
  readonly name: string;
  readonly layers: readonly SpeakerLayer[];
  /** Name of the pooled output; null for the last block. */
  readonly pooled: string | null;
}

type Step = readonly [name: string, norm: string, storedKernel: readonly number[], outputChannels: number];

function createBlocks(prefix: string, stepsOf: (channels: number) => readonly Step[], firstStride: number) {
  let inputChannels = 1;
  return [32, 64, 128].map((channels, index): SpeakerBlock => {
    const block = `${prefix}.block${index + 1}`;
    const layers = stepsOf(channels).map(([name, norm, storedKernel, outputChannels], step): SpeakerLayer => {
      const stride = index === 0 && step === 0 ? firstStride : 1;
      const shape = { stride, storedKernel, kernel: flatKernel(storedKernel), inputChannels, outputChannels };
      inputChannels = outputChannels;
      return { ...shape, name: `${block}.${name}`, weight: `${block}.${name}.weight`, norm: `${block}.${norm}` };
    });
    return { name: block, layers, pooled: index === 2 ? null : `${block}/pooled` };
  });
}

function flatKernel([first = 1, second = 1, third]: readonly number[]): readonly [number, number] {
  if (third === undefined) return [first, second];
  return first === 1 ? [second, third] : [first, 1];
}

/** Whether a layer of pictures sees one pixel over time. */
export function isOverTime({ storedKernel }: SpeakerLayer): boolean {
  return storedKernel.length === 3 && (storedKernel[0] ?? 1) > 1;
}

export const visualBlocks = createBlocks(
  'model.visualEncoder',
  (channels) => [
    ['s_1', 's_norm_1', [1, 5, 5], channels / 2],
    ['s_2', 's_norm_2', [1, 3, 3], channels],
    ['t_1', 't_norm_1', [5, 1, 1], channels],
    ['t_2', 't_norm_2', [3, 1, 1], channels],
  ],
  2,
);

export const audioBlocks = createBlocks(
  'model.audioEncoder',
  (channels) => [
    ['m_1', 'm_norm_1', [5, 1], channels / 2],
    ['m_2', 'm_norm_2', [3, 1], channels],
    ['t_1', 't_norm_1', [1, 5], channels],
    ['t_2', 't_norm_2', [1, 3], channels],
  ],
  1,
);

/** Side of the pictures in a block of the visual encoder: half after its first layer, and after each pooling. */
export function blockSidePx(index: number): number {
  return speakerCropPx / 2 ** (index + 1);
}

/** Name of the input of a block's layers over time. */
export function timelineName({ name }: SpeakerBlock): string {
  return `${name}/timeline`;
}

/** Values of an embedding per frame; two are joined. */
export const embeddingSize = 128;
export const hiddenSize = 64;

export const fusionGate: SpeakerGate = {
  name: 'model.fusion',
  weight: 'model.fusion.attention.weight',
  norm: 'model.fusion.bn',
  channels: 2 * embeddingSize,
};
export const detectorGate: SpeakerGate = {
  name: 'model.detector.attention',
  weight: 'model.detector.attention.attention.weight',
  norm: 'model.detector.attention.bn',
  channels: 2 * hiddenSize,
};
export const recurrentPrefixes = ['model.detector.gru_forward', 'model.detector.gru_backward'] as const;

/** A linear map of 128 values to the logits of "silent" and "speaking". */
export interface SpeakerClassifier {
  /** Name of its output in the graph. */
  readonly name: string;
  readonly prefix: string;
}

export const speakerClassifier: SpeakerClassifier = { name: 'logits', prefix: 'lossAV.FC' };
/** Judges the picture alone. The authors use it in training only. */
export const mouthClassifier: SpeakerClassifier = { name: 'mouth_logits', prefix: 'lossV.FC' };

export const normTensors = ['weight', 'bias', 'running_mean', 'running_var'] as const;
/** The authors' choice; PyTorch's default is 1e-5. */
export const normEpsilon = 1e-3;

export const speakerLayers: readonly SpeakerLayer[] = [...visualBlocks, ...audioBlocks].flatMap(({ layers }) => layers);
export const speakerGates: readonly SpeakerGate[] = [fusionGate, detectorGate];

/** Names and shapes of all tensors of the checkpoint but its batch counters. */
export function speakerTensorShapes(): readonly { readonly name: string; readonly dims: readonly number[] }[] {
  const norm = (prefix: string, channels: number) =>
    normTensors.map((name) => ({ name: `${prefix}.${name}`, dims: [channels] }));
  const gates = 3 * hiddenSize;
  return [
    ...speakerLayers.flatMap(({ weight, norm: prefix, storedKernel, inputChannels, outputChannels }) => [
      { name: weight, dims: [outputChannels, inputChannels, ...storedKernel] },
      ...norm(prefix, outputChannels),
    ]),
    ...speakerGates.flatMap(({ weight, norm: prefix, channels }) => [
      { name: weight, dims: [channels, channels, 1] },
      ...norm(prefix, channels),
    ]),
    ...recurrentPrefixes.flatMap((prefix) => [
      { name: `${prefix}.weight_ih_l0`, dims: [gates, 2 * embeddingSize] },
      { name: `${prefix}.weight_hh_l0`, dims: [gates, hiddenSize] },
      { name: `${prefix}.bias_ih_l0`, dims: [gates] },
      { name: `${prefix}.bias_hh_l0`, dims: [gates] },
    ]),
    ...[speakerClassifier, mouthClassifier].flatMap(({ prefix }) => [
      { name: `${prefix}.weight`, dims: [2, embeddingSize] },
      { name: `${prefix}.bias`, dims: [2] },
    ]),
  ];
}
