import { quoted } from '../../../errors/quoted-text.ts';
import { LipsyncError } from '../../../errors/index.ts';
import { tensorShapes, type TensorSource } from './layer-weights.ts';
import { layersOf, wav2lipNetwork, widthDivisors, type Wav2LipNetwork } from './network.ts';

type TensorDims = ReadonlyMap<string, { readonly dims: readonly number[] }>;

/** Other models that are distributed with Wav2Lip, by a tensor name unique to each. */
const otherModels: ReadonlyMap<string, string> = new Map([
  ['face_encoder.0.conv_block.0.weight', 'the lip-sync expert that Wav2Lip was trained with (lipsync_expert.pth)'],
  ['binary_pred.0.weight', "Wav2Lip's visual quality discriminator (visual_quality_disc.pth)"],
  ['netcnnlip.0.weight', 'SyncNet, which scores lip-sync (syncnet_v2.model)'],
  ['conv3_3_norm.weight', 'the S3FD face detector (s3fd.pth)'],
  ['L2Norm3_3.weight', 'the S3FD face detector (sfd_face.pth)'],
]);

const firstWeight = 'audio_encoder.0.conv_block.0.weight';
const counterSuffix = '.num_batches_tracked';
const varianceSuffix = '.running_var';
const maxListedTensors = 3;

/**
 * Compares a checkpoint's tensors with those of the Wav2Lip generator by name and shape. Returns the matching network:
 * the released one or a narrower variant. Throws `model_invalid`. The message names the model if it is a
 * known one, else lists the differing tensors.
 */
export function matchNetwork(tensors: TensorDims): Wav2LipNetwork {
  for (const [tensor, model] of otherModels) {
    if (tensors.has(tensor)) throw notWav2Lip(`it contains ${model}`);
  }
  const network = networkMatchingWidth(tensors);
  const expected = new Map(
    layersOf(network).flatMap((layer) => tensorShapes(layer).map(({ name, dims }) => [name, dims])),
  );
  const problems = [
    ...describeTensors(
      'missing',
      [...expected.keys()].filter((name) => !tensors.has(name)),
    ),
    ...describeTensors(
      'unexpected',
      [...tensors.keys()].filter((name) => !expected.has(name) && !name.endsWith(counterSuffix)),
    ),
    ...describeShapes(expected, tensors),
  ];
  if (problems.length > 0) throw notWav2Lip(problems.join('; '));
  return network;
}

/** Selects the network by the width of the first layer; defaults to the released one. */
function networkMatchingWidth(tensors: TensorDims): Wav2LipNetwork {
  const width = tensors.get(firstWeight)?.dims[0];
  return (
    widthDivisors
      .map((divisor) => wav2lipNetwork(divisor))
      .find(({ audioEncoder: [first] }) => first?.outputChannels === width) ?? wav2lipNetwork()
  );
}

function describeTensors(fault: 'missing' | 'unexpected', names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${listed(names)} ${names.length === 1 ? 'is' : 'are'} ${fault}`];
}

function describeShapes(expected: ReadonlyMap<string, readonly number[]>, tensors: TensorDims): string[] {
  const wrong = [...expected].flatMap(([name, dims]) => {
    const found = tensors.get(name)?.dims;
    return found === undefined || sameDims(found, dims)
      ? []
      : [`${quoted(name)} is ${found.join(' × ') || 'a scalar'} instead of ${dims.join(' × ')}`];
  });
  return [
    ...wrong.slice(0, maxListedTensors),
    ...(wrong.length > maxListedTensors ? [`${wrong.length - maxListedTensors} more have other shapes`] : []),
  ];
}

function sameDims(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, axis) => size === right[axis]);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, maxListedTensors).map(quoted).join(', ');
  return names.length > maxListedTensors ? `${shown} and ${names.length - maxListedTensors} more` : shown;
}

function notWav2Lip(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The checkpoint is not a Wav2Lip generator: ${finding}. Use wav2lip.pth or wav2lip_gan.pth as released by the authors.`,
  );
}

/** Wraps a source: reading a tensor with non-finite values or a negative variance throws `model_invalid`. */
export function rejectInvalidTensors(source: TensorSource): TensorSource {
  return {
    async read(name) {
      const values = await source.read(name);
      const lowest = name.endsWith(varianceSuffix) ? 0 : -Infinity;
      for (const value of values) {
        if (!Number.isFinite(value) || value < lowest) {
          throw new LipsyncError(
            'model_invalid',
            `The tensor ${quoted(name)} of the checkpoint contains the invalid value ${value}. Download the checkpoint again.`,
          );
        }
      }
      return values;
    },
  };
}
