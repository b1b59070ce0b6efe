import { fetchGuarded, type AllowedPrivateHosts } from '../fetch/index.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import type { InputReference, JobRecord } from './job-record.ts';
import type { Workspace } from './workspace.ts';

/** The longest a download may take, and the longest it may stand still. */
const fetchTimeoutMs = 15 * 60_000;
const fetchIdleTimeoutMs = 30_000;

export interface FetchedInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  /** SHA-256 of the clip, hexadecimal. */
  readonly clipDigest: string;
  readonly video: InputReference;
  readonly audio: InputReference;
  /** Whether an input came from its URL just now. */
  readonly changed: boolean;
}

/** Brings a job's inputs into its workspace, by way of the artifact store. */
export interface InputFetcher {
  fetch(record: JobRecord, context: { readonly signal: AbortSignal; readonly workspace: Workspace }): Promise<FetchedInputs>;
}

export function createInputFetcher(options: {
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
}): InputFetcher {
  const { artifacts, maxBytes, allowedPrivateHosts } = options;

  async function store(input: InputReference, signal: AbortSignal): Promise<Extract<InputReference, { kind: 'artifact' }>> {
    if (input.kind === 'artifact') return input;
    const limits = { maxBytes, timeoutMs: fetchTimeoutMs, idleTimeoutMs: fetchIdleTimeoutMs, allowedPrivateHosts, signal };
    const { stream } = await fetchGuarded(input.url, limits);
    const { key } = await artifacts.putInput(stream, { maxBytes, signal });
    return { kind: 'artifact', key, name: key };
  }

  return {
    async fetch(record, { signal, workspace }) {
      const video = await store(record.video, signal);
      const audio = await store(record.audio, signal);
      const clipPath = workspace.file('clip');
      const speechPath = workspace.file('speech');
      await artifacts.materialise(video.key, clipPath);
      await artifacts.materialise(audio.key, speechPath);
      return {
        clipPath, speechPath, video, audio,
        clipDigest: digestOf(video.key),
        changed: video !== record.video || audio !== record.audio,
      };
    },
  };
}

/** Inputs are stored under the hash of their content. */
function digestOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
