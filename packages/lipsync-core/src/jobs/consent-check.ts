import type { LipsyncOptions } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';

export interface ConsentRules {
  readonly isRequired: boolean;
  readonly nowMs: number;
}

/**
 * Throws `consent_expired` for an expired consent, even where none is required, and `consent_required` for a missing
 * one where it is. The messages contain nothing of the consent, because they are logged.
 */
export function checkConsent({ consent }: Pick<LipsyncOptions, 'consent'>, { isRequired, nowMs }: ConsentRules): void {
  if (!consent) {
    if (!isRequired) return;
    throw new LipsyncError('consent_required', 'This installation requires a consent, and the request has none.');
  }
  if (consent.expiresAt !== undefined && Date.parse(consent.expiresAt) <= nowMs)
    throw new LipsyncError('consent_expired', 'The consent of this request has expired.');
}
