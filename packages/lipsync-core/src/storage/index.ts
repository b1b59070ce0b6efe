export { candidateKeyOf, requireWritableStore, storageChecks } from './artifact-store.ts';
export { requireWritable } from './folder-check.ts';
export type { ArtifactStore, ArtifactStoreHealth, FolderHealth, StoredArtifact } from './artifact-store.ts';
export {
  checksumModes,
  type ArtifactStoreSettings,
  type S3Connection,
  type S3InputSettings,
} from './artifact-store-settings.ts';
export { checkSourceUrl, type SourceRules } from './s3/s3-inputs.ts';
export { BaseStateStore, contended, type CheckedChange, type ContentionLimits } from './base-state-store.ts';
export { createArtifactStore, type ArtifactStoreConfig } from './create-artifact-store.ts';
export { LocalArtifactStore, type LocalArtifactStoreOptions } from './local-artifact-store.ts';
export type { Change, Documents, Json, StatePage, StateStore, StoredDocument } from './state-store.ts';
