import { toLipsyncError } from '@lipsync/core';
import { workerConfigFromEnvironment } from './config.ts';
import { createLogger } from './logger.ts';
import { startWorker } from './wiring.ts';

const logger = createLogger();

async function main(): Promise<void> {
  const config = workerConfigFromEnvironment();
  const worker = await startWorker(config, logger);
  // The one line on stdout, for whoever started the process and waits for it.
  process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
  logger.info({ lanes: config.lanes }, 'taking jobs');
  const signal = await stopSignal();
  logger.info({ signal }, 'stopping');
  await worker.stop();
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve).once('SIGINT', resolve);
  });
}

try {
  await main();
} catch (thrown) {
  const error = toLipsyncError(thrown);
  // Settings are mended by a person, who wants the reason and no stack.
  if (error.code === 'request_invalid') process.stderr.write(`${error.message}\n`);
  else logger.error({ error }, error.message);
  process.exitCode = 1;
}
// A job that did not let go, or a handle it left behind, must not keep a stopped worker alive.
process.exit();
