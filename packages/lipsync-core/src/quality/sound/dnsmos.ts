import { LipsyncError } from '../../errors/index.ts';
import type { OnnxSession } from '../../inference/onnx-session.ts';
import { SampleWindow } from './sample-window.ts';

/** 9.01 s at 16 kHz. */
const windowSamples = 144_160;
const hopSamples = 16_000;

/** Mean opinion scores of DNSMOS P.835, 1 (bad) to 5 (excellent). */
export interface DnsmosScores {
  readonly signal: number;
  readonly background: number;
  readonly overall: number;
}

/** Coefficients of the published mapping from the outputs of the network to opinion scores, highest power first. */
const mappings: Readonly<Record<keyof DnsmosScores, readonly [number, number, number]>> = {
  signal: [-0.08397278, 1.22083953, 0.0052439],
  background: [-0.13166888, 1.60915514, -0.39604546],
  overall: [-0.06766283, 1.11546468, 0.04602535],
};
const order = ['signal', 'background', 'overall'] as const;

export interface DnsmosOptions {
  readonly session: OnnxSession;
  /** Samples of the sound at 16 kHz. */
  readonly sampleCount: number;
  /** Largest number of windows that are scored, spread over the sound. */
  readonly maxWindows: number;
}

/**
 * Scores mono sound at 16 kHz in −1…1 by DNSMOS P.835: windows of 9.01 s every second, of which at most `maxWindows` are
 * run; shorter sound is repeated. The level is not normalized. Returns the mean of the windows, or null for no samples.
 * Throws `model_invalid` for another model.
 */
export async function scoreDnsmos(
  chunks: AsyncIterable<Float32Array>,
  { session, sampleCount, maxWindows }: DnsmosOptions,
): Promise<DnsmosScores | null> {
  requireDnsmos(session);
  const scores: DnsmosScores[] = [];
  const runWindow = async (data: Float32Array): Promise<void> => {
    const outputs = await session.run({ [inputName]: { type: 'float32', data, dims: [1, windowSamples] } });
    scores.push(toScores(outputs[session.outputNames[0] ?? '']?.data));
  };
  const starts = chooseStarts(Math.max(sampleCount, repeatedLength(sampleCount)), maxWindows);
  const buffer = new SampleWindow();
  const runReady = async (): Promise<void> => {
    for (let start = starts[0]; start !== undefined && buffer.end >= start + windowSamples; start = starts[0]) {
      starts.shift();
      await runWindow(buffer.read(start, windowSamples));
      buffer.discardBefore(starts[0] ?? start);
    }
  };
  for await (const chunk of chunks) {
    buffer.append(chunk.map((sample) => Math.max(-1, Math.min(32_767 / 32_768, sample))));
    if (sampleCount >= windowSamples) await runReady();
    if (starts.length === 0) break;
  }
  if (buffer.end === 0) return null;
  if (scores.length === 0) {
    while (buffer.end < windowSamples) buffer.append(buffer.read(0, buffer.end));
    await runReady();
  }
  return scores.length === 0 ? null : meanScores(scores);
}

const inputName = 'input_1';

function requireDnsmos({ inputs }: OnnxSession): void {
  const [input] = inputs;
  if (input?.name === inputName && input.dims.at(-1) === windowSamples) return;
  throw new LipsyncError('model_invalid', 'The model at DNSMOS_MODEL_PATH is not sig_bak_ovr.onnx of DNSMOS P.835.');
}

/** Length after doubling until one window fits. */
function repeatedLength(sampleCount: number): number {
  if (sampleCount === 0) return 0;
  let length = sampleCount;
  while (length < windowSamples) length *= 2;
  return length;
}

/** Starts of the windows by the published rule, which counts whole seconds. */
function chooseStarts(length: number, maxWindows: number): number[] {
  const count = Math.max(0, Math.trunc(Math.floor(length / hopSamples) - windowSamples / hopSamples) + 1);
  const chosen = Math.min(count, Math.max(1, maxWindows));
  return Array.from({ length: chosen }, (_, index) =>
    Math.round(chosen === 1 ? (count - 1) / 2 : (index * (count - 1)) / (chosen - 1)),
  ).map((hop) => hop * hopSamples);
}

function toScores(raw: Float32Array | BigInt64Array | undefined): DnsmosScores {
  if (!(raw instanceof Float32Array) || raw.length !== order.length)
    throw new LipsyncError('model_invalid', 'The model at DNSMOS_MODEL_PATH does not return three scores.');
  const entries = order.map((name, index) => {
    const [square, linear, constant] = mappings[name];
    const value = raw[index] ?? 0;
    return [name, square * value * value + linear * value + constant];
  });
  return Object.fromEntries(entries);
}

function meanScores(scores: readonly DnsmosScores[]): DnsmosScores {
  const mean = (name: keyof DnsmosScores): number =>
    scores.reduce((sum, score) => sum + score[name], 0) / scores.length;
  return { signal: mean('signal'), background: mean('background'), overall: mean('overall') };
}
