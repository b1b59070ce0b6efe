import { speakerTensorShapes } from '../../src/quality/speaker/speaker-network.ts';
import type { State } from '../wav2lip/seeded-checkpoint.ts';

/** Seeded weights of LR-ASD in the order of its tensors: sensible magnitudes, no meaning. */
export function seededSpeakerState(seed: number): State {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return new Map(
    speakerTensorShapes().map(({ name, dims }) => {
      const length = dims.reduce((product, size) => product * size, 1);
      const scale = dims.length > 1 ? 3 / Math.sqrt(length / (dims[0] ?? 1)) : 0.5;
      const offset = /running_var$|norm_\d\.weight$|bn\.weight$/.test(name) ? 1 : 0;
      return [name, { dims, values: Float32Array.from({ length }, () => offset + scale * next()) }];
    }),
  );
}
