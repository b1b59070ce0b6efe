import { z } from 'zod';

const originStates = ['valid', 'invalid', 'unsigned', 'unreadable'] as const;

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
    fingerprint: z.string().nullable().describe('Always null in this version.'),
  })
  .meta({ id: 'Origin', description: 'What the signed manifest of a file states about its origin.' });

export type OriginView = z.infer<typeof originViewSchema>;
