import type { Logger } from '../contract/ports.ts';
import { toLipsyncError } from '../errors/index.ts';

/** A service that has started. */
export interface RunningService {
  /** Added to the ready line. */
  readonly readyFields: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/**
 * Body of the main module of a service: starts it, prints the ready line, stops it at SIGTERM or SIGINT and exits, with
 * code 1 after an error.
 */
export async function runService(logger: Logger, start: () => Promise<RunningService>): Promise<never> {
  try {
    const service = await start();
    // The only line on stdout: the parent process waits for it.
    process.stdout.write(`${JSON.stringify({ ready: true, ...service.readyFields })}\n`);
    const signal = await stopSignal();
    logger.info({ signal }, 'stopping');
    await service.stop();
  } catch (thrown) {
    const error = toLipsyncError(thrown);
    // An operator corrects settings: print the reason without a stack.
    if (error.code === 'request_invalid') process.stderr.write(`${error.message}\n`);
    else logger.error({ error }, error.message);
    process.exitCode = 1;
  }
  // An open connection, or a job that did not stop, must not keep a stopped service alive.
  process.exit();
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve).once('SIGINT', resolve);
  });
}
