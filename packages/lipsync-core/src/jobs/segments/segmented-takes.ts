import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMouthCurve } from '../../audio/index.ts';
import type { Warning } from '../../contract/provider-types.ts';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { shareTrackRenderTask } from '../../face/index.ts';
import { framesPerSecond, joinSegments, labelEndMs } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import { isAttemptFailure } from '../../providers/attempt-runner.ts';
import type { InlineProvider, Take, TakeContext, TakeMaker, TakeRequest } from '../../providers/provider.ts';
import type { ArtifactStore } from '../../storage/artifact-store.ts';
import { linkOrCopy } from '../../storage/durable-files.ts';
import { failStorage, failStore, StoreFailure } from '../../storage/store-failure.ts';
import { activeTraceparent, annotateSpan, traced } from '../../tracing/spans.ts';
import { RunSuperseded } from '../stop-signal.ts';
import { countSegments, planSegments } from './plan-segments.ts';
import type { LeasedSegment, SegmentBoard } from './segment-board.ts';
import {
  clipKeyOf,
  countOpen,
  frameCountOf,
  isOwnedLater,
  renderedPart,
  sharedFiles,
  sharedKeyOf,
  type SegmentList,
  type SharedFile,
  type SharedRequest,
  type StoredSegment,
} from './segment-list.ts';
import { LeaseLost, SegmentRenderer, type SegmentFiles } from './segment-renderer.ts';

/** How often the worker of a job looks for segments that others have finished, while it has none to render. */
const pollMs = 500;

export interface SegmentedTakesOptions {
  readonly board: SegmentBoard;
  readonly artifacts: ArtifactStore;
  readonly renderPool: RenderPool;
  readonly trackCacheFolder: string;
  /** Longer takes are split into segments of about this length; 0 for never. */
  readonly segmentMs: number;
  /** Version of the engine of this host; undefined while it is unknown, which splits nothing. */
  engineVersion(): string | undefined;
  /** The number of living workers that could render segments, with this one. */
  countWorkers(): Promise<number>;
  /** Lets up to `count` other workers take segments of the job, as soon as they have nothing else to do. */
  offer(jobId: string, count: number): Promise<void>;
}

/** A take that is made in segments. */
interface SegmentedTake {
  readonly list: SegmentList;
  readonly provider: InlineProvider;
  readonly request: TakeRequest;
  readonly files: SegmentFiles;
  readonly context: TakeContext;
}

/**
 * Makes long takes in segments that several workers render, and joins them. Other takes are made by their provider. A
 * repeated run of a job continues with the segments that exist.
 */
export class SegmentedTakes implements TakeMaker {
  readonly #options: SegmentedTakesOptions;
  readonly #renderer: SegmentRenderer;

  constructor(options: SegmentedTakesOptions) {
    this.#options = options;
    this.#renderer = new SegmentRenderer(options);
  }

  async make(provider: InlineProvider, request: TakeRequest, context: TakeContext): Promise<Take> {
    const list = await this.#openList(provider, request, context);
    if (!list) return provider.run(request, context);
    if (isOwnedLater(list, context.run)) throw new RunSuperseded();
    annotateSpan({ 'lipsync.segments': list.segments.length });
    const files = await this.#shareFiles(list, request, context);
    return this.#finish({ list, provider, request, files, context });
  }

  /**
   * The list of an earlier run, which this run then owns, or a new one; that of a later run if there is one. Undefined
   * when the take is not split.
   */
  async #openList(
    provider: InlineProvider,
    request: TakeRequest,
    context: TakeContext,
  ): Promise<SegmentList | undefined> {
    const { artifacts, board, segmentMs, countWorkers } = this.#options;
    const engineVersion = this.#options.engineVersion();
    if (!provider.rendersSegments || segmentMs === 0 || engineVersion === undefined) return undefined;
    const shared = toSharedRequest(request);
    const binding = bindingOf({ provider: provider.facts.id, engineVersion, request: shared });
    const { jobId, timeline } = request;
    const { run = 0 } = context;
    const earlier = await board.takeOver(jobId, run).catch(failStore);
    if (earlier && isOwnedLater(earlier, run)) return earlier;
    if (earlier?.binding === binding && earlier.segments.length > 0) return earlier;
    await board.remove(jobId, { run }).catch(failStore);
    if (timeline.durationMs <= segmentMs) return undefined;
    const count = countSegments(timeline, { segmentMs, workers: await countWorkers().catch(failStore) });
    const isShared = count > 1 && (await artifacts.stat(clipKeyOf(request)).catch(failStorage)) !== undefined;
    if (!isShared) return undefined;
    const { shotStarts } = await this.#trackFace(request, context);
    const { voiced } = await readMouthCurve(request.mouthCurvePath, timeline.frameCount);
    const firstCut = request.label ? Math.ceil((labelEndMs / 1_000) * framesPerSecond(timeline.frameRate)) : 0;
    const segments = planSegments({ timeline, shotStarts, voiced, firstCut, count });
    if (segments.length < 2) return undefined;
    const list = {
      jobId,
      binding,
      run,
      engineVersion,
      provider: provider.facts.id,
      request: shared,
      traceparent: activeTraceparent() ?? null,
      segments: segments.map((segment) => ({ ...segment, lease: null, finished: null })),
    };
    return board.create(list).catch(failStore);
  }

  /** Publishes what other workers need, unless an earlier run has, and returns the files of this worker. */
  async #shareFiles(list: SegmentList, request: TakeRequest, context: TakeContext): Promise<SegmentFiles> {
    const { artifacts } = this.#options;
    const trackPath = trackPathOf(request);
    const isStored = async (file: SharedFile): Promise<boolean> =>
      (await artifacts.stat(sharedKeyOf(list, file)).catch(failStorage)) !== undefined;
    if (await isStored('track'))
      await artifacts.materialize(sharedKeyOf(list, 'track'), trackPath, context.signal).catch(failStorage);
    else await this.#trackFace(request, context);
    const { clipPath, mouthCurvePath, speechPath } = request;
    const paths = { track: trackPath, curve: mouthCurvePath, speech: speechPath };
    for (const file of sharedFiles) {
      if (context.signal.aborted) throw abortError(context.signal);
      if (!(await isStored(file))) await this.#publish(paths[file], sharedKeyOf(list, file), context.signal);
    }
    const folder = dirname(request.takePath);
    const pathOf = (index: number): string => join(folder, `segment-${index}.mp4`);
    return { clipPath, mouthCurvePath, speechPath, trackPath, pathOf };
  }

  async #publish(path: string, key: string, signal: AbortSignal): Promise<void> {
    const copyPath = `${path}.shared`;
    await linkOrCopy(path, copyPath);
    await this.#options.artifacts.publish(copyPath, key, signal).catch(failStorage);
  }

  #trackFace(request: TakeRequest, context: TakeContext): Promise<{ readonly shotStarts: readonly number[] }> {
    const { renderPool, trackCacheFolder } = this.#options;
    const { clip, clipDigest, clipPath, timeline, takePath } = request;
    const files = { trackCacheFolder, workFolder: dirname(takePath), copyPath: trackPathOf(request) };
    return renderPool.run(shareTrackRenderTask, { clip, clipDigest, clipPath, timeline, ...files }, context);
  }

  /** Renders segments until all are finished by this and other workers, and joins them. */
  async #finish(take: SegmentedTake): Promise<Take> {
    const ownLeases = new Set<string>();
    try {
      return await this.#renderAll(take, ownLeases);
    } catch (error) {
      // The failed attempt is charged for the time of this worker; the next one, which reuses the segments, is not.
      if (isAttemptFailure(error, take.context.signal))
        await this.#options.board.pause(take.list, ownLeases).catch(failStore);
      throw error;
    }
  }

  async #renderAll(take: SegmentedTake, ownLeases: Set<string>): Promise<Take> {
    const { board, countWorkers, offer } = this.#options;
    const { context, request } = take;
    for (;;) {
      if (context.signal.aborted) throw abortError(context.signal);
      const leased = await board.lease(take.list, 'owner').catch(failStore);
      const list = leased?.list ?? (await board.read(request.jobId).catch(failStore));
      // A list without segments is being removed.
      if (list?.id !== take.list.id || list.segments.length === 0)
        throw new LipsyncError('media_failed', 'The segments of the take were removed.');
      reportProgress(list, context);
      if (leased) {
        ownLeases.add(leased.leaseId);
        // Without an offer, this worker renders all segments.
        const others = Math.min(await countWorkers().catch(() => 1), countOpen(list)) - 1;
        if (others > 0) await offer(request.jobId, others).catch(() => undefined);
        await this.#renderOwn(leased, take);
      } else if (countOpen(list) === 0) return this.#join(list.segments, take, ownLeases);
      else await sleep(pollMs, undefined, { signal: context.signal }).catch(() => undefined);
    }
  }

  async #renderOwn(leased: LeasedSegment, { provider, files, context }: SegmentedTake): Promise<void> {
    const onChange = (list: SegmentList): void => reportProgress(list, context);
    try {
      await this.#renderer.render(leased, { provider, files, context, onChange });
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
    }
  }

  async #join(stored: readonly StoredSegment[], take: SegmentedTake, ownLeases: ReadonlySet<string>): Promise<Take> {
    const { board } = this.#options;
    // As this run opened it: a later run may own the stored one.
    const { list, files, request, context } = take;
    const finished = stored.flatMap((segment) => segment.finished ?? []);
    const segments = stored.map((segment, index) => ({
      path: files.pathOf(index),
      frameCount: frameCountOf(segment),
    }));
    try {
      const { signal } = context;
      for (const [index, { key, leaseId }] of finished.entries()) {
        if (signal.aborted) throw abortError(signal);
        if (!ownLeases.has(leaseId)) await this.#fetchSegment(key, files.pathOf(index), signal);
      }
      await traced('join segments', {}, () => joinSegments({ ...request, segments, signal }));
    } catch (error) {
      // The next attempt renders all segments again.
      const isAttemptError = !context.signal.aborted && !(error instanceof StoreFailure);
      if (isAttemptError) await board.remove(list.jobId, { run: list.run }).catch(() => undefined);
      throw error;
    }
    const others = finished.filter(({ leaseId }) => !ownLeases.has(leaseId));
    const workElsewhereMs = others.reduce((sum, { workMs }) => sum + workMs, 0);
    const reusesSegments = others.some(({ workMs }) => workMs === 0);
    const modelPrecision = finished.at(0)?.modelPrecision;
    // A later attempt that reuses the segments is not charged for them again.
    await board.clearWork(list, new Set(finished.map(({ leaseId }) => leaseId))).catch(failStore);
    const warnings = withoutRepeats(finished.flatMap((segment) => segment.warnings));
    return {
      path: request.takePath,
      warnings,
      costMicros: 0,
      workElsewhereMs,
      ...(reusesSegments && { reusesSegments }),
      ...(modelPrecision && { modelPrecision }),
    };
  }

  /** Throws `media_failed` when the file of a finished segment is gone, which a further attempt renders again. */
  async #fetchSegment(key: string, path: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.artifacts.materialize(key, path, signal);
    } catch (cause) {
      if (!LipsyncError.isInstance(cause) || cause.code !== 'not_found') failStorage(cause);
      throw new LipsyncError('media_failed', 'A finished segment of the take was deleted.', { cause });
    }
  }
}

function trackPathOf({ takePath }: TakeRequest): string {
  return `${takePath}.track`;
}

function toSharedRequest(request: TakeRequest): SharedRequest {
  const {
    clipPath: _,
    mouthCurvePath: _1,
    speechPath: _2,
    takePath: _3,
    trackPath: _4,
    segment: _5,
    speech: { samplesPath: _6, ...speech },
    ...rest
  } = request;
  return { ...rest, speech };
}

function bindingOf(parts: {
  readonly provider: string;
  readonly engineVersion: string;
  readonly request: SharedRequest;
}): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function reportProgress(list: SegmentList, { onProgress }: TakeContext): void {
  onProgress({ stage: 'rendering', fraction: renderedPart(list) });
}

/** Each segment repeats the warnings on the whole clip. */
function withoutRepeats(warnings: readonly Warning[]): readonly Warning[] {
  return [...new Map(warnings.map((warning) => [JSON.stringify(warning), warning])).values()];
}
