import type { PassThroughTask, TakeReport } from '../processes/render-tasks.ts';
import type { RenderTaskContext } from '../processes/run-render-task.ts';
import { drawEach, runTakeLoop } from '../providers/local/take-loop.ts';

export async function passThroughTask(task: PassThroughTask, context: RenderTaskContext): Promise<TakeReport> {
  const figures = await runTakeLoop(
    task,
    drawEach(() => undefined),
    context,
  );
  return {
    warnings: [],
    stages: [{ stage: 'rendering', wallMs: figures.wallMs, frames: task.timeline.frameCount }],
    bytesCopiedPerFrame: figures.bytesCopiedPerFrame,
  };
}
