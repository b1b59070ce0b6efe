import { join } from 'node:path';
import type { LocalArtifactStoreOptions } from './local-artifact-store.ts';

/** Where every process of one installation keeps its artifacts: inputs in the data folder, outputs in theirs. */
export function artifactFolders({
  dataDir,
  outputDir,
}: {
  readonly dataDir: string;
  readonly outputDir: string;
}): LocalArtifactStoreOptions {
  return { inputsDir: join(dataDir, 'inputs'), outputsDir: outputDir };
}
