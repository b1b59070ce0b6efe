import type { TraceContext } from '../../src/contract/ports.ts';
import type { RenderTaskContext } from '../../src/processes/render-task.ts';

/** Returns the trace context that the task received. */
export async function traceTask(_input: null, { trace }: RenderTaskContext): Promise<TraceContext | null> {
  return trace ?? null;
}
