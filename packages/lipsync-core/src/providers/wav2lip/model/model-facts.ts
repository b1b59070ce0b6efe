import { LipsyncError } from '../../../errors/index.ts';
import { quoted } from '../../../errors/quoted-text.ts';
import type { PortInfo } from '../../../inference/onnx-session.ts';
import { melBandCount, melChunkColumns } from '../features/index.ts';

/** Side of the official weights' crop, and of a model that leaves its size open. */
export const officialCropSizePx = 96;

/** Far above what is in circulation, whose crops go up to 512 and whose batches mostly are free. */
export const largestCropSizePx = 1024;
const largestBatch = 1024;
/** Crops of one batch together: 800 MB as the model is given them. */
const mostPixels = 32 * 1024 ** 2;

/** How a Wav2Lip-like model wants to be run. */
export interface Wav2LipModelFacts {
  /** Side of the square face crop that it takes and gives. */
  readonly cropSizePx: number;
  /** The one batch size that it runs at; null when every size will do. */
  readonly fixedBatch: number | null;
  readonly melInput: string;
  readonly framesInput: string;
  readonly output: string;
}

export interface ModelPorts {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
}

type Shape = readonly (number | null)[];

const melShape: Shape = [null, 1, melBandCount, melChunkColumns];
const framesShape: Shape = [null, 6, null, null];
const pictureShape: Shape = [null, 3, null, null];

/** What exports in circulation call them; asked only where shapes leave a doubt. */
const melName = /mel|audio/i;
const framesName = /frame|face|video|img|image/i;

/**
 * Reads from a model's inputs and outputs how to run it: mel (batch, 1, 80, 16) and frames (batch, 6, S, S) go in,
 * pictures (batch, 3, S, S) come out, all float32. Inputs are told apart by shape, then by name: one that can only be
 * mel leaves the other to be frames. Throws `model_invalid`, saying what was expected and what was found.
 */
export function describeWav2LipModel(ports: ModelPorts): Wav2LipModelFacts {
  const surelyMel = ports.inputs.filter((port) => holds(port, melShape) && !holds(port, framesShape));
  const mel = only(surelyMel) ?? choose(ports.inputs, melShape, melName);
  const frames = choose(
    ports.inputs.filter((port) => port !== mel),
    framesShape,
    framesName,
  );
  const output = choose(ports.outputs, pictureShape, framesName);
  if (ports.inputs.length !== 2 || !mel || !frames || !output) throw notWav2Lip(ports);
  const cropSizePx = agreed(ports, [...frames.dims.slice(2), ...output.dims.slice(2)]) ?? officialCropSizePx;
  const fixedBatch = agreed(
    ports,
    [mel, frames, output].map(({ dims }) => dims[0] ?? null),
  );
  checkSize(cropSizePx, fixedBatch ?? 1);
  return {
    cropSizePx,
    fixedBatch,
    melInput: mel.name,
    framesInput: frames.name,
    output: output.name,
  };
}

/** A file from elsewhere says these sizes, and memory is asked for by them. */
function checkSize(cropSizePx: number, batch: number): void {
  if (cropSizePx <= largestCropSizePx && batch <= largestBatch && batch * cropSizePx ** 2 <= mostPixels) return;
  const expected = `crops of at most ${largestCropSizePx} × ${largestCropSizePx}, batches of at most ${largestBatch}, and at most ${mostPixels} pixels in a batch`;
  throw new LipsyncError(
    'model_invalid',
    `The model is too large to be run here. Expected ${expected}; found crops of ${cropSizePx} × ${cropSizePx} in batches of ${batch}. Export it with smaller ones.`,
  );
}

/** The one port of the shape; among several, the one with the name. */
function choose(ports: readonly PortInfo[], shape: Shape, name: RegExp): PortInfo | undefined {
  const fitting = ports.filter((port) => holds(port, shape));
  return only(fitting) ?? fitting.find((port) => name.test(port.name));
}

function only(ports: readonly PortInfo[]): PortInfo | undefined {
  return ports.length === 1 ? ports[0] : undefined;
}

function holds({ elementType, dims }: PortInfo, shape: Shape): boolean {
  return elementType === 'float32' && fits(dims, shape);
}

function fits(dims: Shape, shape: Shape): boolean {
  return (
    dims.length === shape.length &&
    dims.every((size, axis) => size === null || shape[axis] === null || size === shape[axis])
  );
}

/** The size that all say that say one; null when all leave it open. */
function agreed(ports: ModelPorts, sizes: Shape): number | null {
  const [size = null, ...others] = new Set(sizes.filter((value) => value !== null));
  if (others.length > 0 || (size !== null && size < 1)) throw notWav2Lip(ports);
  return size;
}

function notWav2Lip({ inputs, outputs }: ModelPorts): LipsyncError {
  const expected = 'float32 inputs (batch, 1, 80, 16) and (batch, 6, S, S) and a float32 output (batch, 3, S, S)';
  const message = `The model is not a Wav2Lip generator that can be run here. Expected ${expected}; found inputs ${list(inputs)} and outputs ${list(outputs)}. Export it like that, or import the official checkpoint.`;
  return new LipsyncError('model_invalid', message);
}

const longestList = 6;
const longestName = 40;

function list(ports: readonly PortInfo[]): string {
  const shown = ports
    .slice(0, longestList)
    .map(
      ({ name, elementType, dims }) =>
        `${quoted(name.slice(0, longestName))} ${elementType ?? 'no tensor'} (${dims.map((size) => size ?? '?').join(', ')})`,
    );
  return [...shown, ...(ports.length > longestList ? ['…'] : [])].join(', ') || 'none';
}
