import { setTimeout as delay } from 'node:timers/promises';
import { runService } from '@lipsync/core/host';
import { createApp } from './app.ts';
import { apiConfigFromEnvironment } from './config.ts';
import { createLogger } from './logger.ts';
import { listen } from './server.ts';
import { wireApi } from './wiring.ts';

/** Time for open responses to finish at shutdown. */
const stopGraceMs = 5_000;

/** Time limit for closing the Redis connections; an unreachable Redis never acknowledges. */
const closeLimitMs = 3_000;

const logger = createLogger();

await runService(logger, async () => {
  const config = apiConfigFromEnvironment();
  const { dependencies, close } = wireApi(config, logger);
  const server = await listen(createApp(dependencies), config);
  logger.info({ url: server.url, keys: config.keys.length }, 'listening');
  return {
    readyFields: { url: server.url },
    async stop() {
      await server.stop(stopGraceMs);
      await Promise.race([close(), delay(closeLimitMs)]);
    },
  };
});
