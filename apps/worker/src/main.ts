import { toLipsyncError, type Logger } from '@lipsync/core/host';
import { destination, pino, stdSerializers } from 'pino';
import { workerConfigFromEnvironment } from './config.ts';
import { startWorker } from './wiring.ts';

/** JSON lines on stderr; stdout carries only the line for the parent process. */
const logger: Logger = pino({ base: { app: 'worker' }, serializers: { error: stdSerializers.err } }, destination(2));

async function main(): Promise<void> {
  const config = workerConfigFromEnvironment();
  const worker = await startWorker(config, logger);
  // The parent process waits for this line.
  process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
  logger.info({ lanes: config.lanes }, 'worker started');
  const signal = await stopSignal();
  logger.info({ signal }, 'worker stopping');
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
  // An invalid setting needs a reason, not a stack trace.
  if (error.code === 'request_invalid') process.stderr.write(`${error.message}\n`);
  else logger.error({ error }, error.message);
  process.exitCode = 1;
}
// A job that did not stop, or a handle that it left open, must not keep a stopped worker alive.
process.exit();
