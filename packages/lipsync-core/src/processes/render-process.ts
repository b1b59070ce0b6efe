/**
 * Entry of a render process: takes one task at a time from its parent, reports progress, the result and meanwhile that
 * it is alive, and leaves when the parent is gone. Started by the render pool only.
 */
import { toFailure } from '../errors/carried-failure.ts';
import type { FromRenderProcess, ToRenderProcess } from './render-messages.ts';
import { createRenderResources } from './render-resources.ts';
import { runRenderTask } from './run-render-task.ts';
import type { RenderTask } from './render-tasks.ts';

const resources = createRenderResources();
let current: AbortController | undefined;

process.on('message', (message: ToRenderProcess) => {
  if (message.type === 'cancel') current?.abort();
  else void work(message.task, message.heartbeatMs);
});

process.on('disconnect', () => {
  // Nobody is left to report to: this process leads its group, so that its ffmpegs end with it.
  process.kill(-process.pid, 'SIGKILL');
});

async function work(task: RenderTask, heartbeatMs: number): Promise<void> {
  const controller = new AbortController();
  current = controller;
  // On the event loop, so that a loop which stands still is noticed; what tasks wait for outside has limits of its own.
  const heartbeat = setInterval(() => say({ type: 'alive' }), heartbeatMs);
  try {
    const result = await runRenderTask(task, {
      signal: controller.signal,
      resources,
      onProgress: (progress) => say({ type: 'progress', progress }),
    });
    say({ type: 'done', result });
  } catch (thrown) {
    say(toFailure(thrown));
  } finally {
    clearInterval(heartbeat);
    current = undefined;
  }
}

function say(message: FromRenderProcess): void {
  // A parent that is gone is noticed through 'disconnect'.
  process.send?.(message, undefined, undefined, () => undefined);
}
