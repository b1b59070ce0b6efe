import { setTimeout as delay } from 'node:timers/promises';
import { toLipsyncError } from '@lipsync/core/host';
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

async function main(): Promise<void> {
  const config = apiConfigFromEnvironment();
  const { dependencies, close } = wireApi(config, logger);
  const server = await listen(createApp(dependencies), config);
  // The only line on stdout: the launcher waits for it.
  process.stdout.write(`${JSON.stringify({ ready: true, url: server.url })}\n`);
  logger.info({ url: server.url, keys: config.keys.length }, 'listening');
  const signal = await stopSignal();
  logger.info({ signal }, 'stopping');
  await server.stop(stopGraceMs);
  await Promise.race([close(), delay(closeLimitMs)]);
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
  // An operator corrects settings: print the reason without a stack.
  if (error.code === 'request_invalid') process.stderr.write(`${error.message}\n`);
  else logger.error({ error }, error.message);
  process.exitCode = 1;
}
// An open connection must not keep a stopped service alive.
process.exit();
