import { z } from 'zod';

/**
 * Characters that are not visible and make a text read as another: control characters, line separators, directional
 * marks, and spaces without width. Joiners are not among them, because scripts and emoji need them.
 */
export const hiddenCharacters = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/gu;

/** A text of a caller of 1 to `maxLength` characters, which reads as it is stored. */
export function visibleText(maxLength: number): z.ZodString {
  return z
    .string()
    .min(1)
    .max(maxLength)
    .refine((value) => value.isWellFormed() && value.search(hiddenCharacters) < 0, {
      message: 'must not contain control characters or other invisible characters',
    });
}
