import { quoted } from '../../../errors/quoted-text.ts';
import { LipsyncError } from '../../../errors/index.ts';
import type { TensorSource } from './layer-tensors.ts';

const varianceSuffix = '.running_var';

/** The same tensors; reading one throws `model_invalid` when it holds what no trained weight can be. */
export function finiteTensors(source: TensorSource): TensorSource {
  return {
    async read(name) {
      const values = await source.read(name);
      const lowest = name.endsWith(varianceSuffix) ? 0 : -Infinity;
      for (const value of values) {
        if (!Number.isFinite(value) || value < lowest) {
          throw new LipsyncError(
            'model_invalid',
            `The checkpoint's tensor ${quoted(name)} holds ${value}, which no trained weight can be. Fetch the checkpoint again.`,
          );
        }
      }
      return values;
    },
  };
}
