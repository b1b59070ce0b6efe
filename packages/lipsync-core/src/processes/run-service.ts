import type { Logger } from '../contract/ports.ts';
import { toLipsyncError } from '../errors/index.ts';

/** A service that has started. */
export interface RunningService {
  /** Message and fields of the ready line. */
  readonly readyMessage: string;
  readonly readyFields: object;
  /** Resolves with the reason when the service must not continue; it is then stopped. */
  readonly failed?: Promise<Error>;
  stop(): Promise<void>;
}

/**
 * Body of the main module of a service: starts it, logs the ready line, stops it at SIGTERM or SIGINT and exits, with
 * code 1 after an error. A signal during the start aborts it and ends the process.
 */
export async function runService(
  logger: Logger,
  start: (stopping: AbortSignal) => Promise<RunningService>,
): Promise<never> {
  const stopping = new AbortController();
  const stopped = stopSignal(logger).then(() => stopping.abort());
  try {
    const started = start(stopping.signal).catch((error: unknown) => {
      if (!stopping.signal.aborted) throw error;
    });
    const service = await Promise.race([started, stopped]);
    if (service) await serve(service, { logger, stopped });
  } catch (thrown) {
    logFailure(logger, thrown);
  }
  // An open connection, or a job that did not stop, must not keep a stopped service alive.
  process.exit();
}

async function serve(
  service: RunningService,
  { logger, stopped }: { readonly logger: Logger; readonly stopped: Promise<void> },
): Promise<void> {
  // The parent process waits for the field `ready`.
  logger.info({ ready: true, ...service.readyFields }, service.readyMessage);
  const failure = await Promise.race([stopped, ...(service.failed ? [service.failed] : [])]);
  await service.stop();
  if (failure) throw failure;
}

function logFailure(logger: Logger, thrown: unknown): void {
  const error = toLipsyncError(thrown);
  // An operator corrects settings: the reason is enough.
  logger.error(error.code === 'request_invalid' ? { code: error.code } : { error }, error.message);
  process.exitCode = 1;
}

async function stopSignal(logger: Logger): Promise<void> {
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve).once('SIGINT', resolve);
  });
  logger.info({ signal }, 'stopping');
}
