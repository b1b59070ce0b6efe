import { LipsyncError } from '../../../errors/index.ts';
import { quoted } from '../../../errors/quoted-text.ts';
import type { PortInfo } from '../../../inference/onnx-session.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { startRowInputName } from './start-rows.ts';

/** Crop side of the official weights, and the default for models with dynamic sizes. */
export const officialCropSizePx = 96;

/** Upper bounds; published models have crops of up to 512 px and mostly dynamic batches. */
export const maxCropSizePx = 1024;
const maxBatch = 1024;
/** Pixels of all crops in a batch: 800 MB of model input. */
const maxBatchPixels = 32 * 1024 ** 2;

/** Sizes and port names of a Wav2Lip model. */
export interface Wav2LipModelFacts {
  /** Side of the square input and output crops. */
  readonly cropSizePx: number;
  /** The only supported batch size; null when the batch axis is dynamic. */
  readonly fixedBatch: number | null;
  readonly melInput: string;
  readonly framesInput: string;
  /** The input for the first row to draw, see `startRowInputName`; null for a model that always draws all rows. */
  readonly startRowInput: string | null;
  readonly output: string;
}

export interface ModelPorts {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
}

type Shape = readonly (number | null)[];

const melShape: Shape = [null, 1, melBandCount, melChunkColumns];
const framesShape: Shape = [null, 6, null, null];
const outputShape: Shape = [null, 3, null, null];

/** Port names in published exports; used only when shapes are ambiguous. */
const melName = /mel|audio/i;
const framesName = /frame|face|video|img|image/i;

/**
 * Derives the facts from a model's ports: inputs mel (batch, 1, 80, 16) and frames (batch, 6, S, S), output (batch, 3,
 * S, S), all float32. Inputs are matched by shape, then by name; an input that can only be mel makes the other one
 * frames. Models of our importer also have the start row (1), int64. Throws `model_invalid` with the expected and the
 * actual ports.
 */
export function describeWav2LipModel(ports: ModelPorts): Wav2LipModelFacts {
  const startRow = ports.inputs.find(isStartRow);
  const inputs = ports.inputs.filter((port) => port !== startRow);
  const onlyMel = inputs.filter((port) => matches(port, melShape) && !matches(port, framesShape));
  const mel = single(onlyMel) ?? choose(inputs, melShape, melName);
  const frames = choose(
    inputs.filter((port) => port !== mel),
    framesShape,
    framesName,
  );
  const output = choose(ports.outputs, outputShape, framesName);
  if (inputs.length !== 2 || !mel || !frames || !output) throw notWav2Lip(ports);
  const cropSizePx = commonSize(ports, [...frames.dims.slice(2), ...output.dims.slice(2)]) ?? officialCropSizePx;
  const fixedBatch = commonSize(
    ports,
    [mel, frames, output].map(({ dims }) => dims[0] ?? null),
  );
  requireSupportedSize(cropSizePx, fixedBatch ?? 1);
  return {
    cropSizePx,
    fixedBatch,
    melInput: mel.name,
    framesInput: frames.name,
    startRowInput: startRow?.name ?? null,
    output: output.name,
  };
}

/** The sizes come from an untrusted file and determine allocations. */
function requireSupportedSize(cropSizePx: number, batch: number): void {
  if (cropSizePx <= maxCropSizePx && batch <= maxBatch && batch * cropSizePx ** 2 <= maxBatchPixels) return;
  const expected = `crops of at most ${maxCropSizePx} × ${maxCropSizePx}, batches of at most ${maxBatch}, and at most ${maxBatchPixels} pixels in a batch`;
  throw new LipsyncError(
    'model_invalid',
    `The model is too large. Expected ${expected}; found crops of ${cropSizePx} × ${cropSizePx} in batches of ${batch}. Export it with smaller sizes.`,
  );
}

/** The only port that matches the shape; among several, the first that matches the name. */
function choose(ports: readonly PortInfo[], shape: Shape, name: RegExp): PortInfo | undefined {
  const candidates = ports.filter((port) => matches(port, shape));
  return single(candidates) ?? candidates.find((port) => name.test(port.name));
}

function isStartRow({ name, elementType, dims }: PortInfo): boolean {
  return name === startRowInputName && elementType === 'int64' && dims.length === 1 && dims[0] === 1;
}

function single(ports: readonly PortInfo[]): PortInfo | undefined {
  return ports.length === 1 ? ports[0] : undefined;
}

function matches({ elementType, dims }: PortInfo, shape: Shape): boolean {
  return elementType === 'float32' && isCompatible(dims, shape);
}

function isCompatible(dims: Shape, shape: Shape): boolean {
  return (
    dims.length === shape.length &&
    dims.every((size, axis) => size === null || shape[axis] === null || size === shape[axis])
  );
}

/** The common value of all fixed sizes; null when all are dynamic. */
function commonSize(ports: ModelPorts, sizes: Shape): number | null {
  const [size = null, ...others] = new Set(sizes.filter((value) => value !== null));
  if (others.length > 0 || (size !== null && size < 1)) throw notWav2Lip(ports);
  return size;
}

function notWav2Lip({ inputs, outputs }: ModelPorts): LipsyncError {
  const expected = 'float32 inputs (batch, 1, 80, 16) and (batch, 6, S, S) and a float32 output (batch, 3, S, S)';
  const message = `The model is not a supported Wav2Lip generator. Expected ${expected}; found inputs ${list(inputs)} and outputs ${list(outputs)}. Export it with these ports, or import the official checkpoint.`;
  return new LipsyncError('model_invalid', message);
}

const maxListedPorts = 6;
const maxNameLength = 40;

function list(ports: readonly PortInfo[]): string {
  const shown = ports
    .slice(0, maxListedPorts)
    .map(
      ({ name, elementType, dims }) =>
        `${quoted(name.slice(0, maxNameLength))} ${elementType ?? 'not a tensor'} (${dims.map((size) => size ?? '?').join(', ')})`,
    );
  return [...shown, ...(ports.length > maxListedPorts ? ['…'] : [])].join(', ') || 'none';
}
