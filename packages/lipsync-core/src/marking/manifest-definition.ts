import { modelField, providerField } from './parse-origin.ts';

/** What a manifest states about an output. Nothing in it identifies a person or a file of the caller. */
export interface OutputFacts {
  /** Random, unique for each output. */
  readonly id: string;
  readonly markedAt: string;
  /** Null if the lips were not changed. */
  readonly provider: string | null;
  /** SHA-256 of the model file; null for a provider without one, or at a vendor. */
  readonly modelDigest: string | null;
  readonly version: string;
}

const generatorName = 'lipsync';

/** A term of IPTC's digital source types: parts of the picture are made by a trained model. */
export const compositeSourceType =
  'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia';

/**
 * The definition from which the library builds a manifest. `placed` names the ingredients besides the clip; the caller
 * adds them all.
 */
export function manifestDefinitionOf(
  { id, markedAt, provider, modelDigest, version }: OutputFacts,
  placed: readonly string[],
): object {
  const softwareAgent = {
    name: generatorName,
    version,
    [providerField]: provider,
    ...(modelDigest !== null && { [modelField]: modelDigest }),
  };
  const actions = [
    { action: 'c2pa.opened', parameters: { ingredientIds: ['clip'] } },
    ...placed.map((name) => ({ action: 'c2pa.placed', parameters: { ingredientIds: [name] } })),
    provider === null
      ? { action: 'c2pa.edited', when: markedAt, softwareAgent: { name: generatorName, version } }
      : { action: 'c2pa.edited', when: markedAt, digitalSourceType: compositeSourceType, softwareAgent },
  ];
  return {
    claim_generator_info: [{ name: generatorName, version }],
    format: 'video/mp4',
    instance_id: `xmp:iid:${id}`,
    assertions: [{ label: 'c2pa.actions.v2', created: true, data: { actions, allActionsIncluded: true } }],
  };
}
