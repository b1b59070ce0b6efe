import { setTimeout as delay } from 'node:timers/promises';
import { diag, DiagLogLevel, ProxyTracerProvider, trace } from '@opentelemetry/api';
import type { Logger } from '../contract/ports.ts';
import { LipsyncError } from '../errors/index.ts';
import { isTracing } from './spans.ts';

/** Processes of the service. */
export type TracedProcess = 'api' | 'worker' | 'render' | 'engine';

export interface Tracing {
  /** Sends what is recorded, in the background. */
  flush(): void;
  /** Sends what is recorded, for a limited time, also without an answer of the collector. Never throws. */
  stop(): Promise<void>;
}

/** A collector that does not answer holds up the end of the process no longer. */
const stopLimitMs = 2_000;

/** A collector that cannot be reached fails every few seconds. */
const problemIntervalMs = 60_000;
const maxProblemLength = 300;

const inactive: Tracing = Object.freeze({ flush: () => undefined, stop: async () => undefined });

/**
 * Starts the OpenTelemetry SDK, which reads the `OTEL_*` variables of the process; does nothing if the program has
 * started one. Problems of the SDK, such as an invalid variable or a collector that cannot be reached, are logged and
 * never fail a job. Throws `request_invalid` if the SDK is not installed.
 */
export async function startTracing(part: TracedProcess, logger?: Pick<Logger, 'warn'>): Promise<Tracing> {
  if (isTracing()) return inactive;
  const { NodeSDK, resources } = await import('@opentelemetry/sdk-node').catch((cause: unknown) => {
    throw new LipsyncError('request_invalid', 'OTEL_*: traces need the package @opentelemetry/sdk-node.', { cause });
  });
  const report = createProblemReport(logger);
  reportWarnings(report);
  // The variables override the name of the service.
  const resource = resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'service.name': `lipsync-${part}`, 'lipsync.process': part }));
  // Metrics are scraped, and the log goes to stdout.
  const sdk = new NodeSDK({ resource, metricReaders: [], logRecordProcessors: [] });
  sdk.start();
  return {
    flush: () => void flushSpans().catch(report),
    stop: () => Promise.race([sdk.shutdown().catch(report), delay(stopLimitMs, undefined, { ref: false })]),
  };
}

/** Logs each problem at most once a minute; without a logger, as in a child process, none. */
function createProblemReport(logger?: Pick<Logger, 'warn'>): (problem: unknown) => void {
  const loggedAtMs = new Map<string, number>();
  return (problem) => {
    const reason = problem instanceof Error ? problem.message.slice(0, maxProblemLength) : reasonOf(String(problem));
    const nowMs = performance.now();
    if (nowMs - (loggedAtMs.get(reason) ?? -Infinity) < problemIntervalMs) return;
    loggedAtMs.set(reason, nowMs);
    logger?.warn({ part: 'traces', reason }, 'a problem with traces; check the OTEL_* variables and the collector');
  };
}

/** Without this, the SDK writes its warnings nowhere. */
function reportWarnings(report: (problem: string) => void): void {
  const ignore = (): void => undefined;
  diag.setLogger(
    { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** The message of an error that the SDK writes as JSON with its stack, else the text. */
function reasonOf(text: string): string {
  const message = /"message":"(?<message>(?:[^"\\]|\\.)*)"/.exec(text)?.groups?.['message'];
  return (message ?? text).slice(0, maxProblemLength);
}

async function flushSpans(): Promise<void> {
  const provider = trace.getTracerProvider();
  const delegate: object = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider;
  if ('forceFlush' in delegate && typeof delegate.forceFlush === 'function') await delegate.forceFlush();
}
