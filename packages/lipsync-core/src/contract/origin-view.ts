import { z } from 'zod';

const originStates = ['valid', 'invalid', 'unsigned', 'unreadable'] as const;

const fingerprintMatches = [
  'output',
  'same_picture_and_sound',
  'same_picture_other_sound',
  'same_sound_other_picture',
] as const;

/** What a file is, compared with an output of this installation. */
export type FingerprintMatch = (typeof fingerprintMatches)[number];

const fingerprintSchema = z
  .strictObject({
    match: z
      .enum(fingerprintMatches)
      .nullable()
      .describe(
        [
          '`output`: a copy of an output of this installation, also cut, cropped, scaled or encoded again;',
          '`same_picture_and_sound`: picture and sound of an output, but other lips;',
          '`same_picture_other_sound`: the picture only, as in the clip that it was made from, or in another take;',
          '`same_sound_other_picture`: the sound only; null: nothing in common with any output.',
        ].join(' '),
      ),
    job_id: z.string().nullable().describe('The job of that output; null for one of another API key.'),
    picture: z.number().nullable().describe('Similarity of the picture, 0 to 1; null without a match.'),
    sound: z.number().nullable().describe('Similarity of the sound, 0 to 1; null if it cannot be compared.'),
    mouth: z
      .number()
      .nullable()
      .describe('Similarity of the motion of the mouth, −1 to 1; null if it cannot be compared.'),
    offset_ms: z
      .number()
      .nullable()
      .describe('Time in the file at which the output begins, negative if its start is missing; null if unknown.'),
    searched: z.int().describe('Number of outputs that were searched.'),
    reason: z.string().nullable().describe('Why nothing, or not every output, was searched.'),
  })
  .meta({ id: 'FingerprintMatch', description: 'The output of this installation that a file resembles most.' });

export type FingerprintView = z.infer<typeof fingerprintSchema>;

const signerSchema = z
  .strictObject({
    name: z.string().nullable().describe('Common name in the certificate of the signer.'),
    organization: z.string().nullable().describe('Its organization.'),
    serial_number: z.string().nullable().describe('Serial number of the certificate, decimal.'),
  })
  .nullable()
  .describe('The signer, as the certificate names it; null without a manifest.');

const actionSchema = z.strictObject({
  action: z.string().describe('Name in the C2PA vocabulary, such as `c2pa.edited`.'),
  when: z.string().nullable().describe('The time that the manifest states.'),
  source_type: z.string().nullable().describe('Digital source type of IPTC, such as the one for a trained model.'),
  software: z.string().nullable().describe('The program, with its version.'),
  provider: z.string().nullable().describe('What made the lips, if this service did.'),
  model_sha256: z.string().nullable().describe('SHA-256 of its model file.'),
});

export const originViewSchema = z
  .strictObject({
    state: z
      .enum(originStates)
      .describe(
        [
          '`valid`: the manifest and the file are unchanged since signing;',
          '`invalid`: the manifest or the file was changed, or the certificate is not acceptable;',
          '`unsigned`: no manifest; `unreadable`: the file cannot be read.',
        ].join(' '),
      ),
    reason: z.string().nullable().describe('Why the state is `invalid` or `unreadable`.'),
    signer: signerSchema,
    trusted: z.boolean().describe('Whether the certificate comes from an authority that this installation trusts.'),
    actions: z.array(actionSchema).describe('What was done to the file, oldest first; at most 100.'),
    ingredients: z
      .array(
        z.strictObject({
          depth: z.int().describe('1 for an ingredient of the file, 2 for one of that, and so on.'),
          relationship: z.string().nullable().describe('`parentOf`, `componentOf` or `inputTo`.'),
          format: z.string().nullable().describe('Media type.'),
          signer: signerSchema,
          actions: z.array(actionSchema).describe('What was done to it, oldest first.'),
        }),
      )
      .describe('What the file was made from, each followed by its own ingredients; at most 100.'),
    fingerprint: fingerprintSchema.nullable().describe('The most similar output; null for an unreadable file.'),
  })
  .meta({ id: 'Origin', description: 'What the signed manifest of a file states about its origin.' });

export type OriginView = z.infer<typeof originViewSchema>;
