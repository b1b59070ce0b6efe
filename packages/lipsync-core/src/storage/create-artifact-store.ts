import { join } from 'node:path';
import type { ArtifactStore } from './artifact-store.ts';
import type { ArtifactStoreSettings } from './artifact-store-settings.ts';
import { LocalArtifactStore } from './local-artifact-store.ts';
import { S3ArtifactStore } from './s3/s3-artifact-store.ts';

/** What decides where the processes of an installation store inputs and outputs. */
export interface ArtifactStoreConfig {
  readonly dataDir: string;
  readonly outputDir: string;
  readonly artifactStore: ArtifactStoreSettings;
}

/** Opens the artifact store that all processes of an installation share. */
export function createArtifactStore({ dataDir, outputDir, artifactStore }: ArtifactStoreConfig): ArtifactStore {
  const inputsDir = join(dataDir, 'inputs');
  if (artifactStore.kind === 'file') return new LocalArtifactStore({ inputsDir, outputsDir: outputDir });
  const { s3, signedUrls, cacheBytes } = artifactStore;
  return new S3ArtifactStore({
    settings: s3,
    uploadsDir: inputsDir,
    cacheDir: join(dataDir, 'cache', 'inputs'),
    cacheBytes,
    signedUrls,
  });
}
