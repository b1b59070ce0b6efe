import { requireTensors } from '../../inference/models/expected-tensors.ts';
import type { NetworkKind } from '../../inference/models/network-kind.ts';
import { resolveEntry } from '../../processes/entry.ts';
import { speakerTensorShapes } from './speaker-network.ts';

/** LR-ASD. Code for the import is loaded on use: hosts that import no model do not need it. */
export const speakerKind: NetworkKind = Object.freeze<NetworkKind>({
  id: 'lr-asd',
  title: 'LR-ASD, which scores who speaks',
  releasedFiles: 'pretrain_AVA.model',
  role: 'scores whether a mouth moves as in speech while speech sounds; a guard rail, never a grade',
  source: 'https://github.com/Junhua-Liao/LR-ASD',
  licence: 'MIT (Junhua Liao and others)',
  markerTensor: 'model.visualEncoder.block1.s_1.weight',
  importerVersion: 2,
  hasForms: false,
  trialModule: resolveEntry('./try-model', import.meta.url),
  async build(tensors, source) {
    requireTensors(tensors, speakerTensorShapes(), speakerKind);
    const { speakerGraph } = await import('./speaker-graph.ts');
    const { verifySpeaker } = await import('./verify-speaker.ts');
    return {
      graph: await speakerGraph(source),
      verify: (file, signal) => verifySpeaker(file, source, signal),
    };
  },
});
