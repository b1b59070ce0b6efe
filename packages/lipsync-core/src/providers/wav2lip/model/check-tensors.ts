import { quoted } from '../../../errors/quoted-text.ts';
import { LipsyncError } from '../../../errors/index.ts';
import { tensorShapes } from './layer-tensors.ts';
import { layersOf, wav2lipNetwork, widthDivisors, type Wav2LipNetwork } from './network.ts';

type TensorDims = ReadonlyMap<string, { readonly dims: readonly number[] }>;

/** Models whose files lie about beside Wav2Lip's, each by a tensor that no other has. */
const otherModels: ReadonlyMap<string, string> = new Map([
  ['face_encoder.0.conv_block.0.weight', 'the lip-sync expert that Wav2Lip was trained with (lipsync_expert.pth)'],
  ['binary_pred.0.weight', "Wav2Lip's visual quality discriminator (visual_quality_disc.pth)"],
  ['netcnnlip.0.weight', 'SyncNet, which scores lip-sync (syncnet_v2.model)'],
  ['conv3_3_norm.weight', 'the S3FD face detector (s3fd.pth)'],
  ['L2Norm3_3.weight', 'the S3FD face detector (sfd_face.pth)'],
]);

const firstWeight = 'audio_encoder.0.conv_block.0.weight';
const counterSuffix = '.num_batches_tracked';
const shownTensors = 3;

/**
 * Compares a checkpoint's tensors with those of the Wav2Lip generator, by name and shape, and returns the network that
 * they are for: the released one, or a narrower variant of it. Throws `model_invalid`, which names the model when it is
 * another one that is known, else what is missing, what is too much and what has another shape.
 */
export function checkTensors(tensors: TensorDims): Wav2LipNetwork {
  for (const [tensor, model] of otherModels) {
    if (tensors.has(tensor)) throw notWav2Lip(`it holds ${model}`);
  }
  const network = networkOfWidth(tensors);
  const expected = new Map(
    layersOf(network).flatMap((layer) => tensorShapes(layer).map(({ name, dims }) => [name, dims])),
  );
  const problems = [
    ...describeMissing([...expected.keys()].filter((name) => !tensors.has(name))),
    ...describeUnexpected([...tensors.keys()].filter((name) => !expected.has(name) && !name.endsWith(counterSuffix))),
    ...describeShapes(expected, tensors),
  ];
  if (problems.length > 0) throw notWav2Lip(problems.join('; '));
  return network;
}

/** The network whose first layer is as wide as the checkpoint's; the released one when none is. */
function networkOfWidth(tensors: TensorDims): Wav2LipNetwork {
  const width = tensors.get(firstWeight)?.dims[0];
  return (
    widthDivisors
      .map((divisor) => wav2lipNetwork(divisor))
      .find(({ audioEncoder: [first] }) => first?.outputChannels === width) ?? wav2lipNetwork()
  );
}

function describeMissing(names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${listed(names)} ${names.length === 1 ? 'is' : 'are'} missing`];
}

function describeUnexpected(names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${listed(names)} ${names.length === 1 ? 'is' : 'are'} not part of it`];
}

function describeShapes(expected: ReadonlyMap<string, readonly number[]>, tensors: TensorDims): string[] {
  const wrong = [...expected].flatMap(([name, dims]) => {
    const found = tensors.get(name)?.dims;
    return found === undefined || sameDims(found, dims)
      ? []
      : [`${quoted(name)} is ${found.join(' × ') || 'a single number'} instead of ${dims.join(' × ')}`];
  });
  return [
    ...wrong.slice(0, shownTensors),
    ...(wrong.length > shownTensors ? [`${wrong.length - shownTensors} more have other shapes`] : []),
  ];
}

function sameDims(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, axis) => size === right[axis]);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, shownTensors).map(quoted).join(', ');
  return names.length > shownTensors ? `${shown} and ${names.length - shownTensors} more` : shown;
}

function notWav2Lip(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The checkpoint is not a Wav2Lip generator: ${finding}. Take wav2lip.pth or wav2lip_gan.pth as their authors released them.`,
  );
}
