/** The closed sets of words that requests and answers use. */

/** Providers in the order in which `auto` tries them. */
export const providerIds = ['heygen', 'wav2lip', 'preview'] as const;
export type ProviderId = (typeof providerIds)[number];

export const methods = ['auto', ...providerIds] as const;
export type Method = (typeof methods)[number];

export const optimizations = ['quality', 'balanced', 'cost', 'speed'] as const;
export type Optimization = (typeof optimizations)[number];

export const heygenModes = ['speed', 'precision'] as const;
export type HeygenMode = (typeof heygenModes)[number];

export const syncModes = ['loop', 'bounce', 'cut_off', 'silence', 'remap'] as const;
export type SyncMode = (typeof syncModes)[number];

export const silenceModes = ['generate', 'keep', 'close'] as const;
export type SilenceMode = (typeof silenceModes)[number];

export const jobStatuses = ['queued', 'processing', 'completed', 'failed', 'canceled'] as const;
export type JobStatus = (typeof jobStatuses)[number];
