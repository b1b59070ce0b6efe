import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { CoreConfig } from '../config/core-config.ts';
import type { OriginView } from '../contract/origin-view.ts';
import { OriginReader } from '../marking/origin-reader.ts';
import { parseAllowedHosts } from '../net/index.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../processes/workspace.ts';
import { LocalArtifactStore } from '../storage/index.ts';
import { downloadInput, type LocalDownloadOptions } from './local-inputs.ts';
import { isUrl, requireReadable } from './parse-input.ts';
import { listTrustedAuthorities } from './signing-identity.ts';

export interface OriginVerifierOptions {
  readonly reader: Pick<OriginReader, 'read'>;
  readonly workFolder: string;
  readonly downloads: LocalDownloadOptions;
}

/** Reads the origin of files that callers name or send. Stores nothing. */
export class OriginVerifier {
  readonly #options: OriginVerifierOptions;

  constructor(options: OriginVerifierOptions) {
    this.#options = options;
  }

  /** Reads a file in place or from an http(s) URL. Throws `InputNotFoundError` and the errors of a download. */
  async verify(source: string, signal: AbortSignal): Promise<OriginView> {
    const { downloads, reader } = this.#options;
    if (!isUrl(source)) return reader.read(await requireReadable(source, 'file'), signal);
    return this.#inWorkspace(async (workspace) =>
      reader.read(await downloadInput('video', source, { workspace, downloads, signal }), signal),
    );
  }

  /** Reads a file that arrives. Throws `payload_too_large`, and the error of a stream that fails. */
  async verifyContent(content: Readable, signal: AbortSignal): Promise<OriginView> {
    const { downloads, reader } = this.#options;
    return this.#inWorkspace(async (workspace) => {
      const store = new LocalArtifactStore({ inputsDir: workspace.path, outputsDir: workspace.path });
      const { key } = await store.putInput(content, { maxBytes: downloads.maxBytes, signal });
      const path = workspace.file('file');
      await store.materialize(key, path);
      return reader.read(path, signal);
    });
  }

  async #inWorkspace<Result>(work: (workspace: Workspace) => Promise<Result>): Promise<Result> {
    const { workFolder } = this.#options;
    await sweepProcessWorkspaces(workFolder);
    const workspace = await openProcessWorkspace(workFolder);
    try {
      return await work(workspace);
    } finally {
      // A folder that cannot be removed is removed by the next sweep.
      await workspace.remove().catch(() => undefined);
    }
  }
}

export function createOriginVerifier(config: CoreConfig): OriginVerifier {
  return new OriginVerifier({
    reader: new OriginReader({
      listAuthorities: () => listTrustedAuthorities(config, Date.now()),
    }),
    workFolder: join(config.dataDir, 'work'),
    downloads: {
      maxBytes: config.maxUploadBytes,
      allowedPrivateHosts: parseAllowedHosts(config.allowedPrivateHosts),
      minBytesPerSecond: config.minFetchBytesPerSecond,
    },
  });
}
