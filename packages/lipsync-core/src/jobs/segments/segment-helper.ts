import type { Logger } from '../../contract/ports.ts';
import { abortError } from '../../errors/index.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../../processes/workspace.ts';
import type { ActiveProviders } from '../../providers/active-providers.ts';
import type { InlineProvider } from '../../providers/provider.ts';
import type { ArtifactStore } from '../../storage/artifact-store.ts';
import type { SegmentBoard } from './segment-board.ts';
import { clipKeyOf, countOpen, sharedFiles, sharedKeyOf, type SegmentList, type SharedFile } from './segment-list.ts';
import { LeaseLost, SegmentRenderer, type SegmentFiles } from './segment-renderer.ts';

export interface SegmentHelperOptions {
  readonly board: SegmentBoard;
  readonly artifacts: ArtifactStore;
  readonly activeProviders: ActiveProviders;
  readonly workFolder: string;
  readonly logger: Logger;
  /** Version of the engine of this host; undefined while it is unknown. */
  engineVersion(): string | undefined;
}

export interface HelpContext {
  readonly signal: AbortSignal;
  /** Returns whether this worker is needed for something else; called after each segment. */
  isNeededElsewhere(): Promise<boolean>;
}

/** Renders segments of jobs that other workers run. */
export class SegmentHelper {
  readonly #options: SegmentHelperOptions;
  readonly #renderer: SegmentRenderer;

  constructor(options: SegmentHelperOptions) {
    this.#options = options;
    this.#renderer = new SegmentRenderer(options);
  }

  /**
   * Renders segments of a job until none is left (`done`) or this worker is needed elsewhere (`interrupted`). A segment
   * that fails is left to the worker of the job. Throws the abort error of `signal`, and the errors of the stores.
   */
  async help(jobId: string, context: HelpContext): Promise<'done' | 'interrupted'> {
    const { activeProviders, board, workFolder } = this.#options;
    const list = await board.read(jobId);
    const provider = list && activeProviders.get(list.provider);
    const isOurs = list !== undefined && list.engineVersion === this.#options.engineVersion();
    if (!isOurs || countOpen(list) === 0 || provider?.kind !== 'inline' || !provider.rendersSegments) return 'done';
    await sweepProcessWorkspaces(workFolder);
    const workspace = await openProcessWorkspace(workFolder);
    try {
      return await this.#renderAll(list, provider, workspace, context);
    } finally {
      await workspace.remove();
    }
  }

  async #renderAll(
    list: SegmentList,
    provider: InlineProvider,
    workspace: Workspace,
    context: HelpContext,
  ): Promise<'done' | 'interrupted'> {
    const { board, logger } = this.#options;
    const { jobId } = list;
    let files: SegmentFiles;
    try {
      // Before the first lease, which a large clip would outlast.
      files = await this.#fetchFiles(list, workspace, context.signal);
    } catch (error) {
      if (context.signal.aborted) throw error;
      logger.warn({ jobId, error }, 'files of segments not read; the worker of the job renders them');
      return 'done';
    }
    for (;;) {
      const leased = await board.lease(list, 'helper');
      if (!leased) return 'done';
      const { index } = leased;
      try {
        await this.#renderer.render(leased, { provider, files, context });
        logger.info({ jobId, segment: index }, 'segment rendered for another worker');
      } catch (error) {
        if (context.signal.aborted) throw error;
        await board.release(leased);
        if (!(error instanceof LeaseLost))
          logger.warn({ jobId, segment: index, error }, 'segment not rendered; the worker of the job does it');
        return 'done';
      }
      if (await context.isNeededElsewhere()) return 'interrupted';
    }
  }

  /** Throws the abort error of `signal`. */
  async #fetchFiles(list: SegmentList, workspace: Workspace, signal: AbortSignal): Promise<SegmentFiles> {
    const { artifacts } = this.#options;
    const clipPath = workspace.file('clip');
    const pathOf = (file: SharedFile): string => workspace.file(file);
    const files = sharedFiles.map((file) => ({ key: sharedKeyOf(list, file), path: pathOf(file) }));
    for (const { key, path } of [{ key: clipKeyOf(list.request), path: clipPath }, ...files]) {
      if (signal.aborted) throw abortError(signal);
      await artifacts.materialize(key, path, signal);
    }
    return {
      clipPath,
      trackPath: pathOf('track'),
      mouthCurvePath: pathOf('curve'),
      speechPath: pathOf('speech'),
      pathOf: (index) => workspace.file(`segment-${index}.mp4`),
    };
  }
}
