import type { QualityRange } from '../../contract/quality.ts';
import type { TraceContext } from '../../contract/ports.ts';
import type { ProgressReport, Warning } from '../../contract/provider-types.ts';
import { toLipsyncError } from '../../errors/index.ts';
import type { MediaLimits } from '../../media/index.ts';
import { KeyedMutex } from '../../processes/keyed-mutex.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import type { CompareLipsInput, compareLipsTask } from './compare-lips.ts';

/** Compares the lips of a take with those of its clip, in a render process. */
const compareLipsRenderTask = defineRenderTask<typeof compareLipsTask>(
  './compare-lips',
  'compareLipsTask',
  import.meta.url,
);

const timeoutMs = 120_000;
/** Takes that arrive together wait for each other, because each check uses as much memory as a render process. */
const maxWaitMs = 120_000;

export interface TakeCheckOptions {
  readonly renderPool: RenderPool;
  readonly limits: MediaLimits;
}

export interface TakeCheckContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  onProgress(progress: ProgressReport): void;
}

/** Inspects takes of remote vendors after their download. Finds faults that a file has although it plays. */
export class TakeCheck {
  readonly #options: TakeCheckOptions;
  readonly #queue = new KeyedMutex({ maxWaitMs });

  constructor(options: TakeCheckOptions) {
    this.#options = options;
  }

  /** Returns warnings about a take. Never throws: a paid take is kept although it could not be checked. */
  async run(take: Omit<CompareLipsInput, 'limits'>, context: TakeCheckContext): Promise<readonly Warning[]> {
    const { renderPool, limits } = this.#options;
    const { takePath, clipPath, clip, speechPath, timeline, mouthCurvePath } = take;
    const input = { takePath, clipPath, clip, speechPath, timeline, mouthCurvePath, limits };
    try {
      context.onProgress({ stage: 'checking', fraction: 0 });
      const compare = (): Promise<readonly QualityRange[]> => {
        const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
        return renderPool.run(compareLipsRenderTask, input, { ...context, signal });
      };
      const ranges = await this.#queue.run(['check'], compare, context.signal);
      return ranges.length === 0 ? [] : [unchangedWarning(ranges)];
    } catch (error) {
      return [{ code: 'take_not_checked', message: `The take was not checked. ${toLipsyncError(error).message}` }];
    }
  }
}

function unchangedWarning(ranges: readonly QualityRange[]): Warning {
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const listed = ranges.map(({ startMs, endMs }) => `${seconds(startMs)}–${seconds(endMs)} s`).join(', ');
  return {
    code: 'lips_unchanged',
    message: `The lips do not follow the speech: they are those of the clip, or do not move, at ${listed} of the output.`,
  };
}
