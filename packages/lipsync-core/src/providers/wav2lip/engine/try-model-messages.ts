import type { Wav2LipModelFacts } from '../model/model-facts.ts';
import type { EngineFailure } from './engine-messages.ts';

/** What the process says that tries a model, once. */
export type TriedModel = { readonly type: 'tried'; readonly facts: Wav2LipModelFacts } | EngineFailure;
