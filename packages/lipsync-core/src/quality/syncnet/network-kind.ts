import { requireTensors } from '../../inference/models/expected-tensors.ts';
import type { NetworkKind } from '../../inference/models/network-kind.ts';
import { resolveEntry } from '../../processes/entry.ts';
import { convolutionsOf, syncNetwork, syncNetworkGraph, syncNetworkShapes, widthDivisors } from './syncnet-network.ts';

/** The evaluation SyncNet. Code for the verification is loaded on use. */
export const syncNetKind: NetworkKind = Object.freeze<NetworkKind>({
  id: 'syncnet',
  title: 'SyncNet',
  releasedFiles: 'syncnet_v2.model',
  role: 'measures how well lips and speech agree (LSE-D, LSE-C, offset)',
  source: 'https://github.com/joonson/syncnet_python',
  licence: 'MIT for the code; the authors state no separate license for the weights.',
  markerTensor: 'netcnnlip.0.weight',
  importerVersion: 1,
  hasForms: false,
  trialModule: resolveEntry('./try-model', import.meta.url),
  async build(tensors, source) {
    const network = networkMatchingWidth(tensors.get(syncNetKind.markerTensor)?.dims[0]);
    requireTensors(tensors, syncNetworkShapes(network), syncNetKind);
    return {
      graph: await syncNetworkGraph(network, source),
      async verify(file, signal) {
        const { verifyConvolutions } = await import('../../inference/models/verify-convolutions.ts');
        const { testInputs } = await import('./try-model.ts');
        return verifyConvolutions(file, { layers: convolutionsOf(network), inputs: testInputs(), source }, signal);
      },
    };
  },
});

/** The network whose first layer has this width; the released one by default. */
function networkMatchingWidth(width: number | undefined) {
  return (
    widthDivisors
      .map((divisor) => syncNetwork(divisor))
      .find(({ lip: { steps } }) => steps[0]?.convolution.outputChannels === width) ?? syncNetwork()
  );
}
