import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { CoreConfig } from '../config/core-config.ts';
import type { FingerprintView, OriginView } from '../contract/origin-view.ts';
import { FingerprintSearch, type CallerScope, type SearchResult } from '../fingerprint/fingerprint-search.ts';
import { FingerprintStore } from '../fingerprint/fingerprint-store.ts';
import { OriginReader } from '../marking/origin-reader.ts';
import { parseAllowedHosts } from '../net/index.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../processes/workspace.ts';
import { LocalArtifactStore, type StateStore } from '../storage/index.ts';
import { downloadInput, type LocalDownloadOptions } from './local-inputs.ts';
import { isUrl, requireReadable } from './parse-input.ts';
import { listTrustedAuthorities } from './signing-identity.ts';

export interface OriginVerifierOptions {
  readonly reader: Pick<OriginReader, 'read'>;
  /** Searches the outputs of this installation; none is searched without it. */
  readonly search?: Pick<FingerprintSearch, 'find'> | undefined;
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
  async verify(source: string, caller: CallerScope): Promise<OriginView> {
    const { downloads } = this.#options;
    const { signal } = caller;
    if (!isUrl(source)) return this.#read(await requireReadable(source, 'file'), caller);
    return this.#inWorkspace(async (workspace) =>
      this.#read(await downloadInput('video', source, { workspace, downloads, signal }), caller),
    );
  }

  /** Reads a file that arrives. Throws `payload_too_large`, and the error of a stream that fails. */
  async verifyContent(content: Readable, caller: CallerScope): Promise<OriginView> {
    const { downloads } = this.#options;
    const { signal } = caller;
    return this.#inWorkspace(async (workspace) => {
      const store = new LocalArtifactStore({ inputsDir: workspace.path, outputsDir: workspace.path });
      const { key } = await store.putInput(content, { maxBytes: downloads.maxBytes, signal });
      const path = workspace.file('file');
      await store.materialize(key, path, signal);
      return this.#read(path, caller);
    });
  }

  async #read(path: string, caller: CallerScope): Promise<OriginView> {
    const { reader, search } = this.#options;
    const origin = await reader.read(path, caller.signal);
    if (!search || origin.state === 'unreadable') return origin;
    return { ...origin, fingerprint: toFingerprintView(await search.find(path, caller), caller) };
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

/** Names the job only to a caller that may see it. */
function toFingerprintView({ found, searched, reason }: SearchResult, { mayAccess }: CallerScope): FingerprintView {
  const { match = null, picture = null, sound = null, mouth = null, offsetMs = null } = found ?? {};
  const jobId = found && mayAccess(found.owner) ? found.jobId : null;
  return { match, job_id: jobId, picture, sound, mouth, offset_ms: offsetMs, searched, reason };
}

/** `state` has the fingerprints of outputs; none is searched without it. The caller closes it. */
export function createOriginVerifier(
  config: CoreConfig,
  { state }: { readonly state?: StateStore | undefined } = {},
): OriginVerifier {
  const { maxDurationMs, maxDimensionPx } = config;
  const limits = { maxDurationMs, maxDimensionPx };
  return new OriginVerifier({
    search: state && new FingerprintSearch({ store: new FingerprintStore({ state }), limits }),
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
