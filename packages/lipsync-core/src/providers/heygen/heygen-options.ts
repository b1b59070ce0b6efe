import { z } from 'zod';
import type { TakeRequest } from '../provider.ts';

export const heygenModes = ['speed', 'precision'] as const;
export type HeygenMode = (typeof heygenModes)[number];

export const heygenOptionsSchema = z.strictObject({
  mode: z.enum(heygenModes).default('speed').describe('`precision` has a higher quality and a higher price.'),
});

/** The mode that a request selects. Pure. */
export function modeOf({ providerOptions }: Pick<TakeRequest, 'providerOptions'>): HeygenMode {
  return heygenOptionsSchema.parse(providerOptions['heygen'] ?? {}).mode;
}
