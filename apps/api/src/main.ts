import { createServiceLogger, listen, protectFiles, runService, startConfiguredTracing } from '@lipsync/core/host';
import { createApp } from './app.ts';
import { apiConfigFromEnvironment } from './config.ts';
import { wireApi } from './wiring.ts';

/** Time for open responses to finish at shutdown. */
const stopGraceMs = 5_000;

/** Time limit for the first check of Redis; afterwards the API starts without it. */
const redisStartLimitMs = 2_000;

const logger = createServiceLogger('api');

await runService(logger, async () => {
  const config = apiConfigFromEnvironment();
  const tracing = await startConfiguredTracing('api', logger);
  const { dataDir, outputDir, fileAccess } = config.core;
  await protectFiles([dataDir, outputDir], fileAccess, logger);
  const { dependencies, readiness, redis, close } = wireApi(config, logger);
  await redis.open(redisStartLimitMs);
  const server = await listen(createApp(dependencies), { ...config, settings: 'HOST, PORT' });
  return {
    readyMessage: 'listening',
    readyFields: { url: server.url, keys: config.keys.length },
    failed: redis.refused,
    async stop() {
      readiness.stop();
      await server.stop(stopGraceMs);
      await close();
      await tracing?.stop();
    },
  };
});
