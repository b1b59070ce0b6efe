import { abortError } from '../../errors/index.ts';
import type { ReferenceValue } from '../../inference/models/batch-norm.ts';
import type { TensorSource, Verification, WrittenFile } from '../../inference/models/network-kind.ts';
import { compareSamples, deviates, identityProbe, probeName, runWithProbes } from '../../inference/models/probes.ts';
import { scoresOutputName, speakerTensors } from './speaker-graph.ts';
import {
  audioBlocks,
  detectorGate,
  fusionGate,
  isOverTime,
  mouthClassifier,
  recurrentPrefixes,
  speakerClassifier,
  speakerGates,
  speakerLayers,
  timelineName,
  visualBlocks,
  type SpeakerBlock,
} from './speaker-network.ts';
import { classifierValue, gateValue, layerValue, recurrentValues } from './speaker-reference.ts';
import { speakerTestInputs } from './try-model.ts';

/** Permitted rounding error relative to the sum of magnitudes, and absolute. */
const tolerance = { relative: 1e-5, absolute: 1e-5 };

export interface Probe {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/**
 * Verifies a written model against its checkpoint: runs it once on test inputs and compares samples of every layer with
 * its definition, computed in float64. Restores the file afterwards. Throws `model_invalid` when a layer deviates or
 * the scores are not finite.
 */
export async function verifySpeaker(
  file: WrittenFile,
  source: TensorSource,
  signal: AbortSignal,
): Promise<Verification> {
  const inputs = layerInputs();
  const names = [...new Set([...inputs.keys(), ...inputs.values()])];
  const results = await runWithProbes(file, names.map(identityProbe), (session) => session.run(speakerTestInputs()));
  const probe = (name: string): Probe => {
    const tensor = results[probeName(name)];
    if (tensor?.type !== 'float32') throw deviates(`${name} has no output`);
    return tensor;
  };
  const errors: number[] = [];
  const compare = (name: string, expected: (index: number) => ReferenceValue): void => {
    if (signal.aborted) throw abortError(signal);
    errors.push(compareSamples(name, probe(name).data, expected, tolerance));
  };
  for (const layer of speakerLayers) {
    const reference = await layerValue(layer, source, probe(inputs.get(layer.name) ?? ''));
    compare(layer.name, (index) => reference(index, probe(layer.name).dims));
  }
  for (const gate of speakerGates) {
    const reference = await gateValue(gate, source, probe(inputs.get(gate.name) ?? ''));
    compare(gate.name, reference);
  }
  const states = await recurrentValues(recurrentPrefixes, source, probe(fusionGate.name));
  compare(speakerTensors.recurrentOutput, (index) => ({ value: states[index] ?? Number.NaN, magnitude: 1 }));
  for (const { name, prefix } of [speakerClassifier, mouthClassifier])
    compare(name, await classifierValue(prefix, source, probe(inputs.get(name) ?? '')));
  if (!Array.from(results[scoresOutputName]?.data ?? [Number.NaN], Number).every(Number.isFinite))
    throw deviates('its scores are not finite');
  return { layers: errors.length, largestError: Math.max(...errors) };
}

/** Name of the input tensor by name of the layer or gate. */
function layerInputs(): ReadonlyMap<string, string> {
  const inputs = new Map<string, string>();
  const follow = (blocks: readonly SpeakerBlock[], first: string): void => {
    let last = first;
    for (const block of blocks) {
      for (const [index, layer] of block.layers.entries()) {
        const previous = block.layers[index - 1];
        const startsTimeline = previous !== undefined && isOverTime(layer) && !isOverTime(previous);
        inputs.set(layer.name, startsTimeline ? timelineName(block) : last);
        last = layer.name;
      }
      last = block.pooled ?? last;
    }
  };
  follow(visualBlocks, speakerTensors.normalizedFaces);
  follow(audioBlocks, speakerTensors.audioInput);
  inputs.set(fusionGate.name, speakerTensors.joined);
  inputs.set(speakerTensors.recurrentOutput, fusionGate.name);
  inputs.set(detectorGate.name, speakerTensors.recurrentOutput);
  inputs.set(speakerClassifier.name, detectorGate.name);
  inputs.set(mouthClassifier.name, speakerTensors.visualEmbedding);
  return inputs;
}
