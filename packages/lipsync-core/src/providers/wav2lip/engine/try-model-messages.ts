import type { CarriedFailure } from '../../../errors/carried-failure.ts';
import type { Wav2LipModelFacts } from '../model/model-facts.ts';

/** What the process says that tries a model, once. */
export type TriedModel = { readonly type: 'tried'; readonly facts: Wav2LipModelFacts } | CarriedFailure;
