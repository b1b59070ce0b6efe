import { setTimeout as delay } from 'node:timers/promises';
import { toLipsyncError } from '@lipsync/core';
import { createApp } from './app.ts';
import { apiConfigFromEnvironment } from './config.ts';
import { createLogger } from './logger.ts';
import { listen } from './server.ts';
import { wireApi } from './wiring.ts';

/** How long running answers may take to end once the process is told to stop. */
const stopGraceMs = 5_000;

/** How long letting go of Redis may take; a Redis that is gone never says good-bye. */
const closeLimitMs = 3_000;

const logger = createLogger();

async function main(): Promise<void> {
  const config = apiConfigFromEnvironment();
  const { dependencies, close } = wireApi(config, logger);
  const server = await listen(createApp(dependencies), config);
  // The one line on stdout, for whoever started the process and waits for it.
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
  // Settings are mended by a person, who wants the reason and no stack.
  if (error.code === 'request_invalid') process.stderr.write(`${error.message}\n`);
  else logger.error({ error }, error.message);
  process.exitCode = 1;
}
// A connection that does not close must not keep a stopped service alive.
process.exit();
