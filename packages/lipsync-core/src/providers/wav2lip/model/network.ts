/**
 * The architecture of the Wav2Lip generator with 96 × 96 crops (source: models/wav2lip.py of the authors' repository).
 */

export interface Layer {
  /** Prefix of its tensor names in a checkpoint; name of its output in the graph. */
  readonly name: string;
  /** `convolution` and `transposed` include batch normalization and ReLU; `plain` is a bare convolution. */
  readonly kind: 'convolution' | 'transposed' | 'plain';
  readonly inputChannels: number;
  readonly outputChannels: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Rows, columns. */
  readonly strides: readonly [number, number];
  readonly padding: number;
  readonly outputPadding: number;
  /** Whether the input is added before the ReLU. */
  readonly residual: boolean;
}

export interface Wav2LipNetwork {
  readonly audioEncoder: readonly Layer[];
  /** The output of each group is a skip connection to the decoder. */
  readonly faceEncoder: readonly (readonly Layer[])[];
  /** The encoder output of the same size is concatenated after each group, deepest first. */
  readonly faceDecoder: readonly (readonly Layer[])[];
  /** Followed by a sigmoid. */
  readonly outputBlock: readonly Layer[];
}

/** Divisors of the inner channel counts. 1 is the released network; the others are small variants for tests. */
export const widthDivisors = [1, 2, 4, 8, 16] as const;
export type WidthDivisor = (typeof widthDivisors)[number];

/** Smallest inner channel count of the released network. */
const minInnerChannels = 16;

type Shape = Omit<Layer, 'name'>;

function convolution(inputChannels: number, outputChannels: number, rest: Partial<Shape> = {}): Shape {
  return {
    kind: 'convolution',
    inputChannels,
    outputChannels,
    kernel: 3,
    strides: [1, 1],
    padding: 1,
    outputPadding: 0,
    residual: false,
    ...rest,
  };
}

function residual(channels: number): Shape {
  return convolution(channels, channels, { residual: true });
}

function downsampling(inputChannels: number, outputChannels: number): Shape {
  return convolution(inputChannels, outputChannels, { strides: [2, 2] });
}

function upsampling(inputChannels: number, outputChannels: number): Shape {
  return convolution(inputChannels, outputChannels, { kind: 'transposed', strides: [2, 2], outputPadding: 1 });
}

function pointwise(inputChannels: number, outputChannels: number): Shape {
  return convolution(inputChannels, outputChannels, { kernel: 1, padding: 0 });
}

const audioEncoder: readonly Shape[] = [
  convolution(1, 32),
  residual(32),
  residual(32),
  convolution(32, 64, { strides: [3, 1] }),
  residual(64),
  residual(64),
  convolution(64, 128, { strides: [3, 3] }),
  residual(128),
  residual(128),
  convolution(128, 256, { strides: [3, 2] }),
  residual(256),
  convolution(256, 512, { padding: 0 }),
  pointwise(512, 512),
];

const faceEncoder: readonly (readonly Shape[])[] = [
  [convolution(6, 16, { kernel: 7, padding: 3 })],
  [downsampling(16, 32), residual(32), residual(32)],
  [downsampling(32, 64), residual(64), residual(64), residual(64)],
  [downsampling(64, 128), residual(128), residual(128)],
  [downsampling(128, 256), residual(256), residual(256)],
  [downsampling(256, 512), residual(512)],
  [convolution(512, 512, { padding: 0 }), pointwise(512, 512)],
];

const faceDecoder: readonly (readonly Shape[])[] = [
  [pointwise(512, 512)],
  [convolution(1024, 512, { kind: 'transposed', padding: 0 }), residual(512)],
  [upsampling(1024, 512), residual(512), residual(512)],
  [upsampling(768, 384), residual(384), residual(384)],
  [upsampling(512, 256), residual(256), residual(256)],
  [upsampling(320, 128), residual(128), residual(128)],
  [upsampling(160, 64), residual(64), residual(64)],
];

const outputBlock: readonly Shape[] = [convolution(80, 32), { ...pointwise(32, 3), kind: 'plain' }];

/** The released network, or a variant with divided inner channel counts. */
export function wav2lipNetwork(widthDivisor: WidthDivisor = 1): Wav2LipNetwork {
  const group = (layers: readonly Shape[], prefix: string): Layer[] =>
    layers.map((layer, index) => ({
      ...layer,
      name: `${prefix}.${index}`,
      inputChannels: divideChannels(layer.inputChannels, widthDivisor),
      outputChannels: divideChannels(layer.outputChannels, widthDivisor),
    }));
  return {
    audioEncoder: group(audioEncoder, 'audio_encoder'),
    faceEncoder: faceEncoder.map((layers, index) => group(layers, `face_encoder_blocks.${index}`)),
    faceDecoder: faceDecoder.map((layers, index) => group(layers, `face_decoder_blocks.${index}`)),
    outputBlock: group(outputBlock, 'output_block'),
  };
}

/** Channels of inputs and outputs are not divided. */
function divideChannels(channels: number, widthDivisor: WidthDivisor): number {
  return channels < minInnerChannels ? channels : channels / widthDivisor;
}

/** All layers in evaluation order. */
export function layersOf({
  audioEncoder: audio,
  faceEncoder: encoder,
  faceDecoder: decoder,
  outputBlock: output,
}: Wav2LipNetwork): readonly Layer[] {
  return [...audio, ...encoder.flat(), ...decoder.flat(), ...output];
}
