import { createServiceLogger, protectFiles, runService, startConfiguredTracing } from '@lipsync/core/host';
import { workerConfigFromEnvironment } from './config.ts';
import { startWorker } from './wiring.ts';

const logger = createServiceLogger('worker');

await runService(logger, async (stopping) => {
  const config = await workerConfigFromEnvironment();
  const tracing = await startConfiguredTracing('worker', logger);
  const { dataDir, outputDir, fileAccess } = config.core;
  await protectFiles([dataDir, outputDir], fileAccess, logger);
  const worker = await startWorker(config, logger, stopping);
  return {
    readyMessage: 'worker started',
    readyFields: { lanes: config.lanes },
    failed: worker.failed,
    async stop() {
      await worker.stop();
      await tracing?.stop();
    },
  };
});
