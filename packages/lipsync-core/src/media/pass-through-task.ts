import { defineRenderTask, type RenderTaskContext } from '../processes/render-task.ts';
import { drawEach, runTakeLoop, type TakeLoopOptions, type TakeReport } from './take-loop.ts';

/** Copies the frames of the clip in the order of the timeline and adds the speech. */
export const passThroughRenderTask = defineRenderTask<typeof passThroughTask>(
  './pass-through-task',
  'passThroughTask',
  import.meta.url,
);

export async function passThroughTask(input: TakeLoopOptions, context: RenderTaskContext): Promise<TakeReport> {
  const figures = await runTakeLoop(
    input,
    drawEach(() => undefined),
    context,
  );
  return {
    warnings: [],
    stages: [{ stage: 'rendering', wallMs: figures.wallMs, frames: input.timeline.frameCount }],
    bytesCopiedPerFrame: figures.bytesCopiedPerFrame,
  };
}
