import type { Admission } from '../providers/admission.ts';

/** Admits every attempt and keeps no ledger. */
export const openAdmission: Admission = Object.freeze({
  admit: async () => ({ type: 'admitted' }) as const,
  readmit: async () => ({ type: 'admitted' }) as const,
  resume: async () => true,
  reserve: async () => undefined,
  reserveAgain: async () => undefined,
  recordAcceptance: async () => undefined,
  finish: async () => undefined,
  releaseUnusedSlot: async () => undefined,
});
