/** The Wav2Lip generator as data (reference: models/wav2lip.py of the authors' repository). Its crop is 96 × 96. */

export interface Layer {
  /** What its tensors' names begin with in a checkpoint; in the graph, what comes out of it. */
  readonly name: string;
  /** A convolution or transposed convolution with batch-norm and ReLU, or a convolution with neither. */
  readonly kind: 'convolution' | 'transposed' | 'plain';
  readonly inputChannels: number;
  readonly outputChannels: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Rows, columns. */
  readonly strides: readonly [number, number];
  readonly padding: number;
  readonly outputPadding: number;
  /** Whether its input is added before the ReLU. */
  readonly residual: boolean;
}

export interface Wav2LipNetwork {
  readonly audioEncoder: readonly Layer[];
  /** What comes out of each group is kept for the decoder. */
  readonly faceEncoder: readonly (readonly Layer[])[];
  /** After each group the encoder's output of the same size is joined behind, deepest first. */
  readonly faceDecoder: readonly (readonly Layer[])[];
  /** A sigmoid follows. */
  readonly outputBlock: readonly Layer[];
}

/** How much narrower than the released network a variant is: every inner width is divided by it. */
export const widthDivisors = [1, 2, 4, 8, 16] as const;
export type WidthDivisor = (typeof widthDivisors)[number];

/** Inner channels of the released network where a narrowest variant still has one. */
const narrowest = 16;

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

function halving(inputChannels: number, outputChannels: number): Shape {
  return convolution(inputChannels, outputChannels, { strides: [2, 2] });
}

function doubling(inputChannels: number, outputChannels: number): Shape {
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
  [halving(16, 32), residual(32), residual(32)],
  [halving(32, 64), residual(64), residual(64), residual(64)],
  [halving(64, 128), residual(128), residual(128)],
  [halving(128, 256), residual(256), residual(256)],
  [halving(256, 512), residual(512)],
  [convolution(512, 512, { padding: 0 }), pointwise(512, 512)],
];

const faceDecoder: readonly (readonly Shape[])[] = [
  [pointwise(512, 512)],
  [convolution(1024, 512, { kind: 'transposed', padding: 0 }), residual(512)],
  [doubling(1024, 512), residual(512), residual(512)],
  [doubling(768, 384), residual(384), residual(384)],
  [doubling(512, 256), residual(256), residual(256)],
  [doubling(320, 128), residual(128), residual(128)],
  [doubling(160, 64), residual(64), residual(64)],
];

const outputBlock: readonly Shape[] = [convolution(80, 32), { ...pointwise(32, 3), kind: 'plain' }];

/** The released network, or the same with its inner widths divided. */
export function wav2lipNetwork(widthDivisor: WidthDivisor = 1): Wav2LipNetwork {
  const group = (layers: readonly Shape[], prefix: string): Layer[] =>
    layers.map((layer, index) => ({
      ...layer,
      name: `${prefix}.${index}`,
      inputChannels: divided(layer.inputChannels, widthDivisor),
      outputChannels: divided(layer.outputChannels, widthDivisor),
    }));
  return {
    audioEncoder: group(audioEncoder, 'audio_encoder'),
    faceEncoder: faceEncoder.map((layers, index) => group(layers, `face_encoder_blocks.${index}`)),
    faceDecoder: faceDecoder.map((layers, index) => group(layers, `face_decoder_blocks.${index}`)),
    outputBlock: group(outputBlock, 'output_block'),
  };
}

/** Sound, crops and pictures keep their channels. */
function divided(channels: number, widthDivisor: WidthDivisor): number {
  return channels < narrowest ? channels : channels / widthDivisor;
}

/** All layers, in the order in which they are computed. */
export function layersOf({
  audioEncoder: audio,
  faceEncoder: encoder,
  faceDecoder: decoder,
  outputBlock: output,
}: Wav2LipNetwork): readonly Layer[] {
  return [...audio, ...encoder.flat(), ...decoder.flat(), ...output];
}
