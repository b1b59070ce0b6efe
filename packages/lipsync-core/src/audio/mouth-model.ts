import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { inputRowLength } from './model-input.ts';

const ownModel = new URL('../../assets/mouth-model.json', import.meta.url);

const weights = z.array(z.number());

const mouthModelSchema = z
  .object({
    /** Steps around the present one whose rows the model sees. */
    offsets: z.array(z.int()).min(1),
    hiddenCount: z.int().positive(),
    /** `hiddenCount` rows of `offsets.length × inputRowLength` weights, then their biases. */
    hiddenWeights: weights,
    hiddenBiases: weights,
    /** Three rows (open, wide, closure) of `hiddenCount` weights, then their biases. */
    outputWeights: weights,
    outputBiases: weights,
  })
  .refine(
    (model) =>
      model.hiddenWeights.length === model.hiddenCount * model.offsets.length * inputRowLength &&
      model.hiddenBiases.length === model.hiddenCount &&
      model.outputWeights.length === model.hiddenCount * 3 &&
      model.outputBiases.length === 3,
    'the numbers of weights do not fit each other',
  );

/** A network with one hidden layer, fitted by scripts/fit-mouth: features around a step in, mouth shape out. */
export type MouthModel = Readonly<z.infer<typeof mouthModelSchema>>;

/** Mouth shape as the sound alone suggests it, one value per analysis step. */
export interface MouthEstimate {
  /** 0–1. */
  readonly open: Float32Array;
  /** −1…1. */
  readonly wide: Float32Array;
  /** Probability, 0–1, that the lips are pressed together. */
  readonly closure: Float32Array;
}

/** Reads fitted weights, by default those of this package. Throws `model_missing` when the file cannot be read, `model_invalid` when it is not such a model. */
export async function loadMouthModel(path: string | URL = ownModel): Promise<MouthModel> {
  try {
    return mouthModelSchema.parse(JSON.parse(await readWeights(path)));
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw new LipsyncError('model_invalid', 'The mouth model is damaged. Install the package again.', { cause });
  }
}

async function readWeights(path: string | URL): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LipsyncError('model_missing', 'The mouth model cannot be read. Install the package again.', { cause });
  }
}

/** Runs the model over the rows of `normalizeFeatures`; rows beyond the edges repeat the first and the last. */
export function estimateMouth(model: MouthModel, rows: Float32Array): MouthEstimate {
  const stepCount = rows.length / inputRowLength;
  const estimate = {
    open: new Float32Array(stepCount),
    wide: new Float32Array(stepCount),
    closure: new Float32Array(stepCount),
  };
  const layers = {
    hiddenWeights: Float64Array.from(model.hiddenWeights),
    hidden: new Float64Array(model.hiddenCount),
    input: new Float64Array(model.offsets.length * inputRowLength),
  };
  const output = (row: number): number => {
    let sum = model.outputBiases[row] ?? 0;
    for (let h = 0; h < model.hiddenCount; h++)
      sum += (model.outputWeights[row * model.hiddenCount + h] ?? 0) * (layers.hidden[h] ?? 0);
    return sum;
  };
  for (let step = 0; step < stepCount; step++) {
    gatherInput(layers.input, rows, step, model.offsets);
    hiddenLayer(layers.hidden, layers.input, layers.hiddenWeights, model.hiddenBiases);
    estimate.open[step] = sigmoid(output(0));
    estimate.wide[step] = Math.tanh(output(1));
    estimate.closure[step] = sigmoid(output(2));
  }
  return estimate;
}

/** Lays the rows at `offsets` around `step` one after the other into `input`. */
export function gatherInput(input: Float64Array, rows: Float32Array, step: number, offsets: readonly number[]): void {
  const last = rows.length / inputRowLength - 1;
  offsets.forEach((offset, place) => {
    const row = Math.max(0, Math.min(last, step + offset));
    for (let i = 0; i < inputRowLength; i++) input[place * inputRowLength + i] = rows[row * inputRowLength + i] ?? 0;
  });
}

/** Writes tanh(weights × input + biases) into `hidden`. */
export function hiddenLayer(
  hidden: Float64Array,
  input: Float64Array,
  layerWeights: Float64Array,
  biases: ArrayLike<number>,
): void {
  for (let h = 0; h < hidden.length; h++) {
    let sum = biases[h] ?? 0;
    const start = h * input.length;
    for (let i = 0; i < input.length; i++) sum += (layerWeights[start + i] ?? 0) * (input[i] ?? 0);
    hidden[h] = Math.tanh(sum);
  }
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
