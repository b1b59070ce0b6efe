/** The closed sets of words that requests and responses use. */

/** Id of a provider. The built-in ones are named for editors; the registry of providers decides which ids exist. */
export type ProviderId = 'heygen' | 'wav2lip' | 'preview' | (string & Record<never, never>);

export type Method = 'auto' | ProviderId;

export const optimizations = ['quality', 'balanced', 'cost', 'speed'] as const;
export type Optimization = (typeof optimizations)[number];

export const syncModes = ['loop', 'bounce', 'cut_off', 'silence', 'remap'] as const;
export type SyncMode = (typeof syncModes)[number];

export const silenceModes = ['generate', 'keep', 'close'] as const;
export type SilenceMode = (typeof silenceModes)[number];

/** Which parts of a video are scored: windows spread over it, or everything. */
export const qualityWindows = ['spread', 'all'] as const;
export type QualityWindows = (typeof qualityWindows)[number];

/** Languages of the visible label. */
export const labelLanguages = ['de', 'en', 'es', 'fr', 'it', 'pt', 'zh'] as const;
export type LabelLanguage = (typeof labelLanguages)[number];

/** Where the visible label is drawn. */
export const labelCorners = ['top_left', 'top_right', 'bottom_left', 'bottom_right'] as const;
export type LabelCorner = (typeof labelCorners)[number];

/** Steps of a job, in the usual order; which of them a job has depends on its provider. */
export const jobStages = [
  'queued',
  'fetching',
  'probing',
  'listening',
  'waiting',
  'preparing',
  'uploading',
  'downloading',
  'loading',
  'learning',
  'tracking',
  'rendering',
  'checking',
  'scoring',
  'publishing',
  'completed',
  'failed',
  'canceled',
] as const;
export type JobStage = (typeof jobStages)[number];

export const jobStatuses = ['queued', 'processing', 'completed', 'failed', 'canceled'] as const;
export type JobStatus = (typeof jobStatuses)[number];

export const batchStatuses = ['queued', 'processing', 'paused', 'completed', 'canceled'] as const;
