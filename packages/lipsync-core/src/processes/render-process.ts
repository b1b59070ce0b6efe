/**
 * Entry of a render process, started by `RenderChild`. Runs one task at a time for its parent, reports progress,
 * heartbeats and the result, and ends with its parent.
 */
import { toError, toFailure } from '../errors/carried-failure.ts';
import type { ProgressReport } from '../contract/provider-types.ts';
import { traced } from '../tracing/spans.ts';
import { startTracing, type Tracing } from '../tracing/start-tracing.ts';
import type { FromRenderProcess, ToRenderProcess } from './render-child.ts';
import { loadRenderTask, RenderResources } from './render-task.ts';

type RunMessage = Extract<ToRenderProcess, { type: 'run' }>;

const resources = new RenderResources();
let current: AbortController | undefined;
let tracing: Tracing | undefined;

process.on('message', (message: ToRenderProcess) => {
  if (message.type === 'preload') preload(message.moduleUrls);
  if (message.type === 'cancel') current?.abort(toError(message.reason));
  if (message.type === 'run') void run(message);
});

process.on('disconnect', () => {
  // This process leads its group, so its ffmpeg processes end with it.
  process.kill(-process.pid, 'SIGKILL');
});

/** Imports modules before a task needs them. A failure surfaces when a task imports its module again. */
function preload(moduleUrls: readonly string[]): void {
  for (const moduleUrl of moduleUrls) void import(moduleUrl).catch(() => undefined);
}

async function run({ task, input, heartbeatMs, trace, traceparent }: RunMessage): Promise<void> {
  const controller = new AbortController();
  current = controller;
  // A timer on the event loop: it stops exactly when the loop is blocked.
  const heartbeat = setInterval(() => send({ type: 'alive' }), heartbeatMs);
  try {
    if (traceparent !== undefined) tracing ??= await startTracing('render');
    const body = await loadRenderTask(task);
    const context = {
      signal: controller.signal,
      resources,
      ...(trace && { trace }),
      onProgress: (progress: ProgressReport) => send({ type: 'progress', progress }),
    };
    const options = { kind: 'SERVER', parent: traceparent } as const;
    // `as`: `RenderPool.run` accepts only the input that the body of the task declares.
    const result = await traced(task.exportName, options, () => body(input as never, context));
    send({ type: 'done', result });
  } catch (thrown) {
    send(toFailure(thrown));
  } finally {
    // The pool may kill this process at any time.
    tracing?.flush();
    clearInterval(heartbeat);
    current = undefined;
  }
}

function send(message: FromRenderProcess): void {
  // The end of the parent is reported by 'disconnect'.
  process.send?.(message, undefined, undefined, () => undefined);
}
