export { artifactFolders } from './artifact-folders.ts';
export type { ArtifactStore, StoredArtifact } from './artifact-store.ts';
export { createLocalArtifactStore, type LocalArtifactStoreOptions } from './local-artifact-store.ts';
export { sweepAbandonedParts } from './sweep-abandoned-parts.ts';
