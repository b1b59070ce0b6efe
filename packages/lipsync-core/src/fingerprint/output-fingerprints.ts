import type { ExpectedPicture, MediaLimits } from '../media/index.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import { defineRenderTask } from '../processes/render-task.ts';
import type { FingerprintStore } from './fingerprint-store.ts';
import type { fingerprintVideoTask } from './fingerprint-video-task.ts';
import type { Fingerprint } from './fingerprint.ts';

const fingerprintVideoRenderTask = defineRenderTask<typeof fingerprintVideoTask>(
  './fingerprint-video-task',
  'fingerprintVideoTask',
  import.meta.url,
);

/** Time limit of a fingerprint: a part for its start, and one for an hour of video. */
const limitMs = 30 * 60_000;

export interface OutputFingerprintsOptions {
  readonly renderPool: Pick<RenderPool, 'run'>;
  readonly limits: MediaLimits;
  readonly store: Pick<FingerprintStore, 'save' | 'delete'>;
}

/** A take that is about to be published. */
export interface TakeToFind {
  readonly takePath: string;
  /** Made while the take was assessed; it is made now without it. */
  readonly fingerprint?: Fingerprint | undefined;
  /** As in `FingerprintVideoInput`. */
  readonly expectedPicture?: ExpectedPicture | undefined;
}

/** Stores the fingerprints of outputs with their jobs. */
export class OutputFingerprints {
  readonly #options: OutputFingerprintsOptions;

  constructor(options: OutputFingerprintsOptions) {
    this.#options = options;
  }

  /** May run twice. Throws the errors of decoding and of the store, and the abort error. */
  async save(
    { takePath: path, fingerprint, expectedPicture }: TakeToFind,
    job: { readonly id: string; readonly owner: string | null },
    signal: AbortSignal,
  ): Promise<void> {
    const { limits, renderPool, store } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const input = { path, limits, expectedPicture };
    const made = fingerprint ?? (await renderPool.run(fingerprintVideoRenderTask, input, { signal: limit }));
    await store.save(job, made);
  }

  /** Deletes the fingerprint of a job whose output was not published. */
  delete(jobId: string): Promise<void> {
    return this.#options.store.delete(jobId);
  }
}
