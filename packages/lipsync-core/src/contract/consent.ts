import { z } from 'zod';
import { visibleText } from './visible-text.ts';

const expiryText = 'must be a date and time with a zone, such as 2027-01-31T00:00:00Z';

/**
 * Who agreed to a lip-sync, and to what. It is stored with the job only: it is never part of outputs, messages, logs,
 * traces or metrics.
 */
export const consentSchema = z
  .strictObject({
    subject: visibleText(200).describe('Who agreed: the person shown or heard, or your id of that person.'),
    scope: visibleText(1_000).describe('What the person agreed to.'),
    expiresAt: z.iso
      .datetime({ offset: true, abort: true, error: expiryText })
      .max(40)
      // A time that cannot be compared would never expire.
      .refine((value) => Number.isFinite(Date.parse(value)), expiryText)
      .optional()
      .describe('Until when the consent holds, as ISO 8601 with a zone; without it, until it is withdrawn.'),
    reference: visibleText(500).optional().describe('Where you keep the proof, such as the number of a contract.'),
  })
  .describe('The consent of the person shown or heard. It is stored with the job only, and erased with it.');

export type Consent = z.output<typeof consentSchema>;
