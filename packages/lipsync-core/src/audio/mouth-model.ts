import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import type { SpeechActivity } from './speech-activity.ts';
import { bandCount, type SpeechFeatures } from './speech-features.ts';

const bundledModel = new URL('../../assets/mouth-model.json', import.meta.url);

/** Values per input row: the bands, then the level. */
export const inputRowLength = bandCount + 1;

/** Band levels further below the speech level carry no information about the mouth. */
const bandRangeDb = 65;
const decibelsPerUnit = 10;

/**
 * Makes features comparable between recordings: levels relative to the speech level, and per band the mean of the
 * active steps subtracted (cepstral mean normalization in the log domain), which removes gain, microphone and room.
 * Returns one row of `inputRowLength` values per step.
 */
export function normalizeFeatures(features: SpeechFeatures, activity: SpeechActivity): Float32Array {
  const { stepCount, bandsDb, levelDb } = features;
  const lowestDb = activity.speechLevelDb - bandRangeDb;
  const pauseMeans = bandMeans(features, activity.active, 0, lowestDb);
  const speechMeans = bandMeans(features, activity.active, 1, lowestDb);
  const rows = new Float32Array(stepCount * inputRowLength);
  for (let step = 0; step < stepCount; step += 1) {
    for (let band = 0; band < bandCount; band += 1) {
      const value = Math.max(bandsDb[step * bandCount + band] ?? lowestDb, pauseMeans[band] ?? lowestDb, lowestDb);
      rows[step * inputRowLength + band] = (value - (speechMeans[band] ?? 0)) / decibelsPerUnit;
    }
    const level = Math.max(levelDb[step] ?? lowestDb, activity.noiseLevelDb, lowestDb);
    rows[step * inputRowLength + bandCount] = (level - activity.speechLevelDb) / decibelsPerUnit;
  }
  return rows;
}

/** Mean level of each band over the steps whose activity equals `selected`, at least `lowestDb`. */
function bandMeans(
  { stepCount, bandsDb }: SpeechFeatures,
  active: Uint8Array,
  selected: 0 | 1,
  lowestDb: number,
): Float64Array {
  const sums = new Float64Array(bandCount);
  let count = 0;
  for (let step = 0; step < stepCount; step += 1) {
    if (active[step] !== selected) continue;
    count += 1;
    for (let band = 0; band < bandCount; band += 1) {
      sums[band] = (sums[band] ?? 0) + Math.max(bandsDb[step * bandCount + band] ?? lowestDb, lowestDb);
    }
  }
  return sums.map((sum) => (count === 0 ? lowestDb : sum / count));
}

const weights = z.array(z.number());

const mouthModelSchema = z
  .object({
    /** Relative steps whose rows are the input for one step. */
    offsets: z.array(z.int()).min(1),
    hiddenCount: z.int().positive(),
    /** `hiddenCount` rows of `offsets.length × inputRowLength` weights. */
    hiddenWeights: weights,
    hiddenBiases: weights,
    /** Three rows (open, wide, closure) of `hiddenCount` weights. */
    outputWeights: weights,
    outputBiases: weights,
  })
  .refine(
    (model) =>
      model.hiddenWeights.length === model.hiddenCount * model.offsets.length * inputRowLength &&
      model.hiddenBiases.length === model.hiddenCount &&
      model.outputWeights.length === model.hiddenCount * 3 &&
      model.outputBiases.length === 3,
    'The array lengths of the mouth model do not match.',
  );

/** A perceptron with one hidden layer, trained by scripts/fit-mouth: normalized features in, mouth shape out. */
export type MouthModel = Readonly<z.infer<typeof mouthModelSchema>>;

/** Mouth shape estimated from the sound only, one value per analysis step. */
export interface MouthEstimate {
  /** 0–1. */
  readonly open: Float32Array;
  /** −1…1. */
  readonly wide: Float32Array;
  /** Probability, 0–1, that the lips are pressed together. */
  readonly closure: Float32Array;
}

/**
 * Reads model weights, by default the bundled ones. Throws `model_missing` when the file cannot be read and
 * `model_invalid` when it is not a mouth model.
 */
export async function loadMouthModel(path: string | URL = bundledModel): Promise<MouthModel> {
  try {
    return mouthModelSchema.parse(JSON.parse(await readModelFile(path)));
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw new LipsyncError('model_invalid', 'The mouth model file is damaged. Reinstall the package.', { cause });
  }
}

async function readModelFile(path: string | URL): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LipsyncError('model_missing', 'The mouth model file cannot be read. Reinstall the package.', { cause });
  }
}

/** Runs the model over the rows of `normalizeFeatures`. The first and last rows are repeated beyond the ends. */
export function estimateMouth(model: MouthModel, rows: Float32Array): MouthEstimate {
  const stepCount = rows.length / inputRowLength;
  const estimate = {
    open: new Float32Array(stepCount),
    wide: new Float32Array(stepCount),
    closure: new Float32Array(stepCount),
  };
  const hiddenWeights = Float64Array.from(model.hiddenWeights);
  const hidden = new Float64Array(model.hiddenCount);
  const input = new Float64Array(model.offsets.length * inputRowLength);
  const output = (row: number): number => {
    let sum = model.outputBiases[row] ?? 0;
    for (let h = 0; h < model.hiddenCount; h += 1) {
      sum += (model.outputWeights[row * model.hiddenCount + h] ?? 0) * (hidden[h] ?? 0);
    }
    return sum;
  };
  for (let step = 0; step < stepCount; step += 1) {
    gatherInput(input, rows, step, model.offsets);
    hiddenLayer(hidden, input, hiddenWeights, model.hiddenBiases);
    estimate.open[step] = sigmoid(output(0));
    estimate.wide[step] = Math.tanh(output(1));
    estimate.closure[step] = sigmoid(output(2));
  }
  return estimate;
}

/** Concatenates the rows at `offsets` around `step` into `input`. */
export function gatherInput(input: Float64Array, rows: Float32Array, step: number, offsets: readonly number[]): void {
  const last = rows.length / inputRowLength - 1;
  offsets.forEach((offset, index) => {
    const row = Math.max(0, Math.min(last, step + offset));
    for (let i = 0; i < inputRowLength; i += 1) {
      input[index * inputRowLength + i] = rows[row * inputRowLength + i] ?? 0;
    }
  });
}

/** Writes tanh(weights × input + biases) into `hidden`. */
export function hiddenLayer(
  hidden: Float64Array,
  input: Float64Array,
  layerWeights: Float64Array,
  biases: ArrayLike<number>,
): void {
  for (let h = 0; h < hidden.length; h += 1) {
    let sum = biases[h] ?? 0;
    const start = h * input.length;
    for (let i = 0; i < input.length; i += 1) sum += (layerWeights[start + i] ?? 0) * (input[i] ?? 0);
    hidden[h] = Math.tanh(sum);
  }
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
