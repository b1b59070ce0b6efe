import { z } from 'zod';
import { audioTrack, jobFields, qualityWindowsText } from './lipsync-request.ts';
import { qualityWindows } from './vocabulary.ts';

/** The optional fields of a request for the quality of a video, in TypeScript spelling. Unknown fields are rejected. */
export const qualityOptionsSchema = z.strictObject({
  audioTrack,
  qualityWindows: z.enum(qualityWindows).default('spread').describe(qualityWindowsText),
  ...jobFields,
});

/** Options with every default filled in. */
export type QualityOptions = z.output<typeof qualityOptionsSchema>;

/** Options as a caller may give them. */
export type QualityOptionsInput = z.input<typeof qualityOptionsSchema>;
