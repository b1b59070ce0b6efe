import { requireTensors } from '../../../inference/models/expected-tensors.ts';
import type { NetworkKind, TensorDims } from '../../../inference/models/network-kind.ts';
import { resolveEntry } from '../../../processes/entry.ts';
import { tensorShapes } from './layer-weights.ts';
import { layersOf, wav2lipNetwork, widthDivisors, type Wav2LipNetwork } from './network.ts';

const firstWeight = 'audio_encoder.0.conv_block.0.weight';

/** The generator of Wav2Lip. Code for the import is loaded on use: hosts that import no model do not need it. */
export const wav2lipKind: NetworkKind = Object.freeze<NetworkKind>({
  id: 'wav2lip',
  title: 'a Wav2Lip generator',
  releasedFiles: 'wav2lip.pth or wav2lip_gan.pth',
  role: 'redraws the mouth to match speech audio',
  source: 'https://github.com/Rudrabha/Wav2Lip',
  licence: 'Weights trained on LRS2: for research, academic and personal use only, no commercial use.',
  markerTensor: 'face_encoder_blocks.0.0.conv_block.0.weight',
  importerVersion: 4,
  hasForms: true,
  trialModule: resolveEntry('./try-model', import.meta.url),
  async build(tensors, source, kind) {
    const network = networkOf(tensors);
    const { wav2lipGraph } = await import('./wav2lip-graph.ts');
    const { verifyImport } = await import('./verify-import.ts');
    return {
      graph: await wav2lipGraph(network, source, kind),
      verify: (file, signal) => verifyImport({ ...file, network, kind }, source, signal),
    };
  },
  async quantize({ tensors, source }, request, context) {
    const network = networkOf(tensors);
    const { quantizeNetwork } = await import('../quantization/quantize-network.ts');
    return quantizeNetwork({ network, source }, request, context);
  },
});

/** Throws `model_invalid` when the tensors are not those of the network. */
function networkOf(tensors: TensorDims): Wav2LipNetwork {
  const network = networkMatchingWidth(tensors.get(firstWeight)?.dims[0]);
  requireTensors(tensors, layersOf(network).flatMap(tensorShapes), wav2lipKind);
  return network;
}

/** The network whose first layer has this width: the released one or a narrower variant; defaults to the released one. */
function networkMatchingWidth(width: number | undefined): Wav2LipNetwork {
  return (
    widthDivisors
      .map((divisor) => wav2lipNetwork(divisor))
      .find(({ audioEncoder: [first] }) => first?.outputChannels === width) ?? wav2lipNetwork()
  );
}
