import type { Logger } from '../contract/ports.ts';
import { startTracing, type TracedProcess, type Tracing } from '../tracing/start-tracing.ts';
import { readEnvironment, type Environment } from './settings.ts';

/**
 * Starts tracing if the standard variables of OpenTelemetry request it, in the environment or in `.env`; undefined
 * otherwise.
 */
export async function startConfiguredTracing(
  part: TracedProcess,
  logger: Pick<Logger, 'warn'>,
  environment: Environment = readEnvironment(),
): Promise<Tracing | undefined> {
  if (!isTracingRequested(environment)) return undefined;
  // The SDK, also that of child processes, reads the environment of the process.
  for (const [name, value] of Object.entries(environment))
    if (name.startsWith('OTEL_') && value !== undefined) process.env[name] = value;
  return startTracing(part, logger);
}

/** Whether the variables name a receiver of traces. Pure. */
export function isTracingRequested(environment: Environment): boolean {
  const read = (name: string): string => environment[name]?.trim() ?? '';
  const exporter = read('OTEL_TRACES_EXPORTER');
  if (read('OTEL_SDK_DISABLED').toLowerCase() === 'true' || exporter === 'none') return false;
  return [exporter, read('OTEL_EXPORTER_OTLP_ENDPOINT'), read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')].some(
    (value) => value !== '',
  );
}
