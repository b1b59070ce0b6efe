import { protectFiles, runService, type Logger } from '@lipsync/core/host';
import { destination, pino, stdSerializers } from 'pino';
import { workerConfigFromEnvironment } from './config.ts';
import { startWorker } from './wiring.ts';

/** JSON lines on stderr; stdout carries only the ready line. */
const logger: Logger = pino({ base: { app: 'worker' }, serializers: { error: stdSerializers.err } }, destination(2));

await runService(logger, async (stopping) => {
  const config = workerConfigFromEnvironment();
  const { dataDir, outputDir, fileAccess } = config.core;
  await protectFiles([dataDir, outputDir], fileAccess, logger);
  const worker = await startWorker(config, logger, stopping);
  logger.info({ lanes: config.lanes }, 'worker started');
  return { readyFields: {}, failed: worker.failed, stop: () => worker.stop() };
});
