import { setTimeout as sleep } from 'node:timers/promises';
import { canSeek, withoutSeeking } from '../../media/index.ts';
import { LipsyncError } from '../../errors/index.ts';
import type { InlineProvider, Take, TakeContext, TakeRequest } from '../../providers/provider.ts';
import type { ArtifactStore } from '../../storage/artifact-store.ts';
import { linkOrCopy } from '../../storage/durable-files.ts';
import { failStorage, failStore } from '../../storage/store-failure.ts';
import { traced } from '../../tracing/spans.ts';
import type { LeasedSegment, SegmentBoard } from './segment-board.ts';
import type { SegmentList, SharedRequest } from './segment-list.ts';

const renewIntervalMs = 3_000;

export interface SegmentRendererOptions {
  readonly board: SegmentBoard;
  readonly artifacts: Pick<ArtifactStore, 'delete' | 'publish'>;
}

/** The files that a worker renders segments from, and a folder for those that it makes. */
export interface SegmentFiles extends Pick<TakeRequest, 'clipPath' | 'mouthCurvePath' | 'speechPath'> {
  readonly trackPath: string;
  /** Path of the file of a segment. */
  pathOf(index: number): string;
}

export interface SegmentWork {
  readonly provider: InlineProvider;
  readonly files: SegmentFiles;
  readonly context: Pick<TakeContext, 'signal' | 'trace'>;
  /** Called whenever the list is known to have changed. */
  onChange?(list: SegmentList): void;
}

/** Another worker has the segment, or the job needs it no more. */
export class LeaseLost extends LipsyncError {
  constructor() {
    super('canceled', 'The segment is rendered by another worker, or no longer needed.');
  }
}

/** Renders leased segments, on the worker of the job and on others. */
export class SegmentRenderer {
  readonly #options: SegmentRendererOptions;

  constructor(options: SegmentRendererOptions) {
    this.#options = options;
  }

  /**
   * Renders a segment, publishes its file and leaves a copy at its path. Returns the segment when it fails. Throws
   * `LeaseLost`, the errors of the provider, and a `StoreFailure`.
   */
  async render(leased: LeasedSegment, work: SegmentWork): Promise<void> {
    const { index, list } = leased;
    const attributes = { 'lipsync.segment': index, 'lipsync.provider': list.provider };
    try {
      await traced('render segment', { attributes, parent: list.traceparent }, () => this.#render(leased, work));
    } catch (error) {
      // Without Redis, the lease expires by itself.
      if (!(error instanceof LeaseLost)) await this.#options.board.release(leased).catch(() => undefined);
      throw error;
    }
  }

  async #render(leased: LeasedSegment, work: SegmentWork): Promise<void> {
    const { artifacts, board } = this.#options;
    const { index, key } = leased;
    const startedMs = performance.now();
    const path = work.files.pathOf(index);
    // Held during the upload too, which may take longer than a lease.
    const { warnings, modelPrecision } = await this.#holdLease(leased, work, async (context) => {
      const made = await makeSegment(leased, path, work, context);
      // Once the list is removed, nothing deletes a file that is published.
      if (!(await board.renew(leased, 1).catch(failStore))) throw new LeaseLost();
      const publishedPath = `${path}.published`;
      await linkOrCopy(path, publishedPath);
      await artifacts.publish(publishedPath, key, context.signal).catch(failStorage);
      return made;
    });
    const workMs = performance.now() - startedMs;
    const made = { workMs, warnings, ...(modelPrecision && { modelPrecision }) };
    const finished = await board.finish(leased, made).catch(failStore);
    if (!finished) {
      await artifacts.delete(key).catch(failStorage);
      throw new LeaseLost();
    }
    work.onChange?.(finished);
  }

  /** Renews the lease while `make` runs, and aborts it when the lease is lost. */
  async #holdLease(
    leased: LeasedSegment,
    { context, onChange }: SegmentWork,
    make: (context: TakeContext) => Promise<Take>,
  ): Promise<Take> {
    const ended = new AbortController();
    const lost = new AbortController();
    let fraction = 0;
    const renew = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        await sleep(renewIntervalMs, undefined, { signal: ended.signal }).catch(() => undefined);
        if (ended.signal.aborted) return;
        // During an outage of Redis the work goes on: no other worker can take the segment then.
        const list = await this.#options.board.renew(leased, fraction).catch(() => null);
        if (list === undefined) return lost.abort(new LeaseLost());
        if (list) onChange?.(list);
      }
    };
    const renewed = renew();
    try {
      return await make({
        ...context,
        signal: AbortSignal.any([context.signal, lost.signal]),
        onProgress: ({ stage, fraction: done }) => {
          if (stage === 'rendering') fraction = done;
        },
      });
    } finally {
      ended.abort();
      await renewed;
    }
  }
}

/** A clip that does not deliver its frames by seeking is read from its start. */
async function makeSegment(
  { list: { request }, segment }: LeasedSegment,
  takePath: string,
  { provider, files }: SegmentWork,
  context: TakeContext,
): Promise<Take> {
  const { start, end, warmUpFrames } = segment;
  const { clipPath, mouthCurvePath, speechPath, trackPath } = files;
  const paths = { clipPath, mouthCurvePath, speechPath, trackPath, takePath };
  const run = (shared: SharedRequest): Promise<Take> =>
    provider.run({ ...shared, ...paths, segment: { start, end, warmUpFrames } }, context);
  try {
    return await run(request);
  } catch (error) {
    const isMedia = LipsyncError.isInstance(error) && error.code === 'media_failed';
    if (!isMedia || context.signal.aborted || !canSeek(request.clip)) throw error;
    return run({ ...request, clip: withoutSeeking(request.clip) });
  }
}
