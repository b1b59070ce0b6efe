import {
  inputRowLength,
  gatherInput,
  hiddenLayer,
  sigmoid,
  type MouthModel,
} from '../../packages/lipsync-core/src/audio/mouth-model.ts';
import type { MouthTargets } from './mouth-targets.ts';
import type { Random } from './random.ts';

/** A training recording. */
export interface Example {
  /** From `normalizeFeatures`. */
  readonly rows: Float32Array;
  readonly targets: MouthTargets;
  /** Training steps. */
  readonly steps: readonly number[];
}

export interface FitOptions {
  readonly offsets: readonly number[];
  readonly hiddenCount: number;
  readonly epochs: number;
  readonly onEpoch: (epoch: number, meanLoss: number) => void;
}

const outputCount = 3;
const batchSize = 64;
const firstRate = 0.002;
const lastRate = 0.00005;
const weightDecay = 1e-5;
/** One step in ten is closed, and a missed closure is more visible than a superfluous one. */
const closureWeight = 2;
const keptDigits = 4;

/** Fits the network with Adam (Kingma and Ba, 2015). Deterministic for the same examples and random numbers. */
export function fitNetwork(examples: readonly Example[], random: Random, options: FitOptions): MouthModel {
  const { offsets, hiddenCount, epochs } = options;
  const inputCount = offsets.length * inputRowLength;
  const parameters = {
    hiddenWeights: initial(hiddenCount * inputCount, 1 / Math.sqrt(inputCount), random),
    hiddenBiases: createParameter(new Float64Array(hiddenCount)),
    outputWeights: initial(outputCount * hiddenCount, 1 / Math.sqrt(hiddenCount), random),
    outputBiases: createParameter(new Float64Array(outputCount)),
  };
  const samples = examples.flatMap((example) => example.steps.map((step) => ({ example, step })));
  const addGradient = createGradientStep(parameters, offsets, hiddenCount);
  const updateCount = Math.floor(samples.length / batchSize) * epochs;
  let update = 0;
  for (let epoch = 1; epoch <= epochs; epoch++) {
    shuffle(samples, random);
    let loss = 0;
    for (let start = 0; start + batchSize <= samples.length; start += batchSize) {
      for (const { example, step } of samples.slice(start, start + batchSize)) loss += addGradient(example, step);
      const rate = lastRate + 0.5 * (firstRate - lastRate) * (1 + Math.cos((Math.PI * update) / updateCount));
      update += 1;
      for (const parameter of Object.values(parameters)) adamStep(parameter, rate, update);
    }
    options.onEpoch(epoch, loss / samples.length);
  }
  const rounded = ({ values }: Parameter): number[] =>
    Array.from(values, (value) => Number(value.toPrecision(keptDigits)));
  return {
    offsets: [...offsets],
    hiddenCount,
    hiddenWeights: rounded(parameters.hiddenWeights),
    hiddenBiases: rounded(parameters.hiddenBiases),
    outputWeights: rounded(parameters.outputWeights),
    outputBiases: rounded(parameters.outputBiases),
  };
}

interface Parameter {
  readonly values: Float64Array;
  readonly gradient: Float64Array;
  readonly firstMoment: Float64Array;
  readonly secondMoment: Float64Array;
}

type Parameters = Readonly<Record<'hiddenWeights' | 'hiddenBiases' | 'outputWeights' | 'outputBiases', Parameter>>;

function createParameter(values: Float64Array): Parameter {
  const zeros = (): Float64Array => new Float64Array(values.length);
  return { values, gradient: zeros(), firstMoment: zeros(), secondMoment: zeros() };
}

function initial(length: number, deviation: number, random: Random): Parameter {
  return createParameter(Float64Array.from({ length }, () => deviation * random.normal()));
}

/** Returns a function that adds the gradient of one sample to the parameters and returns its loss. */
function createGradientStep(
  parameters: Parameters,
  offsets: readonly number[],
  hiddenCount: number,
): (example: Example, step: number) => number {
  const { hiddenWeights, hiddenBiases, outputWeights, outputBiases } = parameters;
  const input = new Float64Array(offsets.length * inputRowLength);
  const hidden = new Float64Array(hiddenCount);
  const hiddenGradient = new Float64Array(hiddenCount);
  const output = (row: number): number =>
    hidden.reduce(
      (sum, value, h) => sum + value * (outputWeights.values[row * hiddenCount + h] ?? 0),
      outputBiases.values[row] ?? 0,
    );

  return ({ rows, targets }, step) => {
    gatherInput(input, rows, step, offsets);
    hiddenLayer(hidden, input, hiddenWeights.values, hiddenBiases.values);
    const { loss, gradients } = computeLoss([output(0), output(1), output(2)], targets, step);
    hiddenGradient.fill(0);
    gradients.forEach((gradient, row) => {
      add(outputBiases.gradient, row, gradient);
      for (let h = 0; h < hiddenCount; h++) {
        add(outputWeights.gradient, row * hiddenCount + h, gradient * (hidden[h] ?? 0));
        add(hiddenGradient, h, gradient * (outputWeights.values[row * hiddenCount + h] ?? 0));
      }
    });
    for (let h = 0; h < hiddenCount; h++) {
      const gradient = (hiddenGradient[h] ?? 0) * (1 - (hidden[h] ?? 0) ** 2);
      add(hiddenBiases.gradient, h, gradient);
      const start = h * input.length;
      for (let i = 0; i < input.length; i++) add(hiddenWeights.gradient, start + i, gradient * (input[i] ?? 0));
    }
    return loss;
  };
}

/** Squared error for open and wide, cross entropy for closure; gradients are with respect to the raw outputs. */
function computeLoss(
  outputs: readonly [number, number, number],
  targets: MouthTargets,
  step: number,
): { readonly loss: number; readonly gradients: readonly number[] } {
  const open = sigmoid(outputs[0]);
  const wide = Math.tanh(outputs[1]);
  const closure = sigmoid(outputs[2]);
  const closed = targets.closure[step] === 1;
  const openError = open - (targets.open[step] ?? 0);
  const wideError = wide - (targets.wide[step] ?? 0);
  const weight = closed ? closureWeight : 1;
  return {
    loss: 4 * openError ** 2 + wideError ** 2 - weight * Math.log(Math.max(closed ? closure : 1 - closure, 1e-9)),
    gradients: [
      8 * openError * open * (1 - open),
      2 * wideError * (1 - wide ** 2),
      weight * (closure - (closed ? 1 : 0)),
    ],
  };
}

function adamStep({ values, gradient, firstMoment, secondMoment }: Parameter, rate: number, update: number): void {
  const firstBias = 1 - 0.9 ** update;
  const secondBias = 1 - 0.999 ** update;
  for (let i = 0; i < values.length; i++) {
    const slope = (gradient[i] ?? 0) / batchSize + weightDecay * (values[i] ?? 0);
    const first = 0.9 * (firstMoment[i] ?? 0) + 0.1 * slope;
    const second = 0.999 * (secondMoment[i] ?? 0) + 0.001 * slope * slope;
    firstMoment[i] = first;
    secondMoment[i] = second;
    add(values, i, (-rate * (first / firstBias)) / (Math.sqrt(second / secondBias) + 1e-8));
  }
  gradient.fill(0);
}

function add(values: Float64Array, index: number, amount: number): void {
  values[index] = (values[index] ?? 0) + amount;
}

function shuffle(items: unknown[], random: Random): void {
  for (let i = items.length - 1; i > 0; i--) {
    const other = Math.floor(random.between(0, i + 1));
    [items[i], items[other]] = [items[other], items[i]];
  }
}
