/** Delivers the outbox of a Redis, notes each entry in the list `seen`, and kills itself after the given number. */
import { OutboxDispatcher, silentLogger, systemClock } from '@lipsync/core/host';
import { createClientConnection, RedisJobStore } from '../src/index.ts';

const [url = '', deathAfter = ''] = process.argv.slice(2);
const connection = createClientConnection({ url, onError: () => undefined });
let delivered = 0;
const dispatcher = new OutboxDispatcher({
  store: new RedisJobStore({ connection }),
  consumers: [
    async ({ jobId }) => {
      await connection.rpush('seen', jobId);
      delivered += 1;
      if (delivered === Number(deathAfter)) process.kill(process.pid, 'SIGKILL');
    },
  ],
  clock: systemClock,
  logger: silentLogger,
});
await dispatcher.deliver(new AbortController().signal);
connection.disconnect();
