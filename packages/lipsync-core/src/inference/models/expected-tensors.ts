import { quoted } from '../../errors/quoted-text.ts';
import { LipsyncError } from '../../errors/index.ts';
import type { NetworkKind, TensorDims, TensorShape, TensorSource } from './network-kind.ts';

/** Models that are distributed together, by a tensor name unique to each. */
const knownModels: ReadonlyMap<string, string> = new Map([
  ['face_encoder_blocks.0.0.conv_block.0.weight', 'the Wav2Lip generator (wav2lip.pth)'],
  ['face_encoder.0.conv_block.0.weight', 'the lip-sync expert that Wav2Lip was trained with (lipsync_expert.pth)'],
  ['binary_pred.0.weight', "Wav2Lip's visual quality discriminator (visual_quality_disc.pth)"],
  ['netcnnlip.0.weight', 'SyncNet, which scores lip-sync (syncnet_v2.model)'],
  ['conv3_3_norm.weight', 'the S3FD face detector (s3fd.pth)'],
  ['L2Norm3_3.weight', 'the S3FD face detector (sfd_face.pth)'],
]);

/** Batch counters of training, which no network needs. */
const counterSuffix = '.num_batches_tracked';
const varianceSuffix = '.running_var';
const maxListedTensors = 3;

/**
 * Returns the network that a checkpoint belongs to, by its marker tensor. A checkpoint without one is taken for the only
 * kind, because `build` lists the differing tensors. Throws `model_invalid` for a known model of another kind, and for
 * an unknown one where there are several kinds.
 */
export function recognizeNetwork(tensors: TensorDims, kinds: readonly NetworkKind[]): NetworkKind {
  for (const [tensor, model] of knownModels) {
    if (tensors.has(tensor) && !kinds.some(({ markerTensor }) => markerTensor === tensor))
      throw unknownNetwork(kinds, `it contains ${model}`);
  }
  const [only, ...others] = kinds;
  const recognized = kinds.find(({ markerTensor }) => tensors.has(markerTensor)) ?? (others.length === 0 ? only : null);
  if (recognized) return recognized;
  const names = [...tensors.keys()];
  throw unknownNetwork(kinds, names.length === 0 ? 'it contains no tensors' : `it contains ${listed(names)}`);
}

/**
 * Compares a checkpoint's tensors with the expected ones by name and shape. Throws `model_invalid` and lists those that
 * differ.
 */
export function requireTensors(
  tensors: TensorDims,
  expectedShapes: readonly TensorShape[],
  kind: Pick<NetworkKind, 'title' | 'releasedFiles'>,
): void {
  const expected = new Map(expectedShapes.map(({ name, dims }) => [name, dims]));
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
  if (problems.length > 0) throw unknownNetwork([kind], problems.join('; '));
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

function unknownNetwork(kinds: readonly Pick<NetworkKind, 'title' | 'releasedFiles'>[], finding: string): LipsyncError {
  const titles = kinds.map(({ title }) => title).join(', ');
  const files = kinds.map(({ releasedFiles }) => releasedFiles).join('; ');
  const stated = kinds.length === 1 ? `not ${titles}` : `none of these: ${titles}`;
  return new LipsyncError(
    'model_invalid',
    `The checkpoint is ${stated}: ${finding}. Use ${files} as released by the authors.`,
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
