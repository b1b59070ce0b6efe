/**
 * Entry of an engine process, started by `EngineChild`. Loads a model in a thread and serves clients on a socket until
 * the parent ends. The main thread only moves bytes, so that it can always report heartbeats.
 */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toFailure } from '../../../errors/carried-failure.ts';
import type { EngineStart, FromEngine, ToEngine } from './engine-address.ts';
import { getBatchSize } from './engine-devices.ts';
import { openEngineServer } from './engine-server.ts';
import { openModelQueue } from './model-queue.ts';

/** Time for failure messages to reach the clients before the process ends. */
const farewellMs = 500;
let folder: string | undefined;
let isEnding = false;

process.on('message', (message: ToEngine) => {
  if (message.type === 'start') return void run(message);
  // An engine that is about to end must not be leased again; the pool then waits for its exit.
  if (!isEnding) send({ type: 'pong' });
});
process.on('disconnect', () => {
  // The parent is gone and can no longer delete the folder.
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  end();
});

async function run(start: EngineStart): Promise<void> {
  const { device, heartbeatMs, socketPath } = start;
  folder = dirname(socketPath);
  setInterval(() => send({ type: 'alive' }), heartbeatMs);
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
    const batchSize = getBatchSize(device.kind, queue.fixedBatch);
    await openEngineServer({ queue, deviceName: device.name, socketPath, batchSize, heartbeatMs });
    send({ type: 'ready', cropSizePx: queue.cropSizePx, batchSize });
  } catch (error) {
    send(toFailure(error));
  }
}

/** SIGKILL, because a running model would delay a clean exit. */
function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

function send(message: FromEngine): void {
  // The end of the parent is reported by 'disconnect'.
  process.send?.(message, undefined, undefined, () => undefined);
}
