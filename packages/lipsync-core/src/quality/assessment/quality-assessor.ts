import type { TraceContext } from '../../contract/ports.ts';
import type { ProgressReport, Warning } from '../../contract/provider-types.ts';
import type { QualityLabel } from '../../contract/quality.ts';
import { toLipsyncError } from '../../errors/index.ts';
import type { MediaLimits } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import { defineRenderTask } from '../../processes/render-task.ts';
import type { AnalyzerDefinition, AssessmentInput, AssessmentModels } from '../analyzer.ts';
import type { assessVideoTask } from './assess-video-task.ts';
import { AssessmentQueue, type AssessmentKind } from './assessment-queue.ts';
import { unknownQuality, type MeasuredQuality } from './merge-findings.ts';

const assessVideoRenderTask = defineRenderTask<typeof assessVideoTask>(
  './assess-video-task',
  'assessVideoTask',
  import.meta.url,
);

export interface QualityAssessorOptions {
  readonly renderPool: RenderPool;
  readonly limits: MediaLimits;
  readonly models?: AssessmentModels;
}

export interface AssessmentContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  onProgress(progress: ProgressReport): void;
}

/** The quality of a video with the series behind it. */
export interface Assessment extends MeasuredQuality {
  /** Labels that are also warnings of a job, or why nothing was measured. */
  readonly warnings: readonly Warning[];
}

/** Measures the quality of finished videos, in a render process. */
export class QualityAssessor {
  readonly #options: QualityAssessorOptions;
  readonly #queue = new AssessmentQueue();

  constructor(options: QualityAssessorOptions) {
    this.#options = options;
  }

  /**
   * Returns the quality of a take. Never throws: one that is paid for is kept although it could not be assessed. Its
   * parts are then null with the reason, and a warning states it; there are no parts when the system cannot even open
   * the modules that name them. An aborted signal ends it the same way.
   */
  async run(input: AssessmentInput, context: AssessmentContext): Promise<Assessment> {
    try {
      const measured = await this.#assess('take', input, context);
      return { ...measured, warnings: measured.quality.labels.flatMap(toWarning) };
    } catch (error) {
      const { message } = toLipsyncError(error);
      const warning = { code: 'quality_not_measured', message: `The quality was not measured. ${message}` };
      return { ...unknownQuality(await loadAnalyzers(), message, input.source !== undefined), warnings: [warning] };
    }
  }

  /** Returns the quality of any other video, after takes that wait. Throws what keeps it from being measured. */
  measure(input: AssessmentInput, context: AssessmentContext): Promise<MeasuredQuality> {
    return this.#assess('video', input, context);
  }

  #assess(kind: AssessmentKind, input: AssessmentInput, context: AssessmentContext): Promise<MeasuredQuality> {
    const { renderPool, limits, models = {} } = this.#options;
    context.onProgress({ stage: 'tracking', fraction: 0 });
    const assess = (): Promise<MeasuredQuality> =>
      renderPool.run(assessVideoRenderTask, { ...input, limits, models }, context);
    return this.#queue.run(kind, assess, context.signal);
  }
}

/**
 * Loaded on demand: otherwise only the render process needs the analyzers. None when they cannot be loaded, because too
 * many open files, for example, make the measurement and this fail.
 */
async function loadAnalyzers(): Promise<readonly AnalyzerDefinition[]> {
  try {
    return (await import('./analyzers.ts')).analyzers;
  } catch {
    return [];
  }
}

/** Only `lips_unchanged` is a warning whether or not the gate rejects the take; other labels are part of the quality. */
function toWarning({ code, message, ranges }: QualityLabel): Warning[] {
  if (code !== 'lips_unchanged') return [];
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const listed = ranges.map(({ startMs, endMs }) => `${seconds(startMs)}–${seconds(endMs)} s`).join(', ');
  return [{ code, message: `${message} At ${listed} of the output.` }];
}
