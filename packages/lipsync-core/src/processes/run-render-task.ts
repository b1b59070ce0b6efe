import type { RenderResources } from './render-resources.ts';
import type { RenderTask, RenderTaskResults } from './render-tasks.ts';
import { analyzeSpeechTask } from '../audio/analyze-speech-task.ts';
import { passThroughTask } from '../media/pass-through-task.ts';
import { previewTask } from '../providers/preview/preview-task.ts';
import { wav2lipTask } from '../providers/wav2lip/wav2lip-task.ts';
import type { ProgressReport } from '../contract/provider-types.ts';

export interface RenderTaskContext {
  readonly signal: AbortSignal;
  readonly resources: RenderResources;
  onProgress(progress: ProgressReport): void;
}

/** Runs one task in this process. Throws a `LipsyncError`, and leaves no file of an unfinished take. */
export function runRenderTask(
  task: RenderTask,
  context: RenderTaskContext,
): Promise<RenderTaskResults[RenderTask['kind']]> {
  switch (task.kind) {
    case 'analyze_speech':
      return analyzeSpeechTask(task, context);
    case 'pass_through':
      return passThroughTask(task, context);
    case 'preview':
      return previewTask(task, context);
    case 'wav2lip':
      return wav2lipTask(task, context);
  }
}
