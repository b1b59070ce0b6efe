import type { Clock } from '../contract/ports.ts';
import { requireInput } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import type { JobHandler, JobRun } from './job-handler.ts';
import type { QualityPipeline } from './quality-pipeline.ts';

export interface QualityHandlerOptions {
  readonly qualityPipeline: Pick<QualityPipeline, 'run'>;
  readonly clock: Clock;
}

/** Runs quality jobs. They cost nothing and have no output file, so an interrupted one starts again. */
export class QualityHandler implements JobHandler<'quality'> {
  readonly #options: QualityHandlerOptions;

  constructor(options: QualityHandlerOptions) {
    this.#options = options;
  }

  async run(run: JobRun<'quality'>): Promise<JobEvent> {
    const { record, workspace, signal } = run;
    await run.storage.check();
    run.report({ stage: 'fetching', fraction: 0 });
    const files = await run.fetchInputs();
    const { quality, durationMs } = await this.#options.qualityPipeline.run(
      { files: { ...files, video: requireInput(files, 'video') }, options: record.spec.options, workspace },
      {
        signal,
        trace: { requestId: record.requestId, traceparent: record.traceparent },
        onProgress: (progress) => run.report(progress),
      },
    );
    const atMs = this.#options.clock.nowMs();
    return { type: 'completed', run: record.runs, atMs, result: { quality, durationMs }, warnings: [] };
  }
}
