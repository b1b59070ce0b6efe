/**
 * Entry of an engine process: loads a model in a thread of its own and draws faces for whoever connects to its socket,
 * until its parent is gone. This thread only moves bytes, so that it can always tell how the other one is. Started by
 * the engine pool only.
 */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toFailure } from '../../../errors/carried-failure.ts';
import { engineBatchSize } from './engine-batch-size.ts';
import type { EngineStart, FromEngine, ToEngine } from './engine-messages.ts';
import { openEngineServer } from './engine-server.ts';
import { openModelQueue } from './model-queue.ts';

/** For clients to be told why the engine ends. */
const farewellMs = 500;
let folder: string | undefined;
let isEnding = false;

process.on('message', (message: ToEngine) => {
  if (message.type === 'start') return void run(message);
  // One that ends in a moment must not be lent any more; its pool sees its end instead.
  if (!isEnding) say({ type: 'answer' });
});
process.on('disconnect', () => {
  // Nobody is left to report to, nor to clear up.
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  end();
});

async function run(start: EngineStart): Promise<void> {
  const { device, heartbeatMs, socketPath } = start;
  folder = dirname(socketPath);
  setInterval(() => say({ type: 'alive' }), heartbeatMs);
  try {
    const queue = await openModelQueue({
      source: start.source,
      device: device.onnxDevice,
      batchLimitMs: start.batchLimitMs,
      onStopped() {
        isEnding = true;
        void sleep(farewellMs).then(end);
      },
    });
    const batchSize = engineBatchSize(device.kind, queue.fixedBatch);
    await openEngineServer({ queue, socketPath, batchSize, heartbeatMs });
    say({ type: 'ready', cropSizePx: queue.cropSizePx, batchSize });
  } catch (error) {
    say(toFailure(error));
  }
}

/** Without farewell: a model at work would hold up a clean exit. */
function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

function say(message: FromEngine): void {
  // A parent that is gone is noticed through 'disconnect'.
  process.send?.(message, undefined, undefined, () => undefined);
}
