import { setTimeout as delay } from 'node:timers/promises';
import { ProxyTracerProvider, trace } from '@opentelemetry/api';
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

const inactive: Tracing = Object.freeze({ flush: () => undefined, stop: async () => undefined });

/**
 * Starts the OpenTelemetry SDK, which reads the `OTEL_*` variables of the process; does nothing if the program has
 * started one. Throws `request_invalid` if it is not installed.
 */
export async function startTracing(part: TracedProcess): Promise<Tracing> {
  if (isTracing()) return inactive;
  const { NodeSDK, resources } = await import('@opentelemetry/sdk-node').catch((cause: unknown) => {
    throw new LipsyncError('request_invalid', 'OTEL_*: traces need the package @opentelemetry/sdk-node.', { cause });
  });
  // The variables override the name of the service.
  const resource = resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'service.name': `lipsync-${part}`, 'lipsync.process': part }));
  // Metrics are scraped, and the log goes to stdout.
  const sdk = new NodeSDK({ resource, metricReaders: [], logRecordProcessors: [] });
  sdk.start();
  return {
    flush: () => void flushSpans().catch(() => undefined),
    stop: () => Promise.race([sdk.shutdown().catch(() => undefined), delay(stopLimitMs, undefined, { ref: false })]),
  };
}

async function flushSpans(): Promise<void> {
  const provider = trace.getTracerProvider();
  const delegate: object = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider;
  if ('forceFlush' in delegate && typeof delegate.forceFlush === 'function') await delegate.forceFlush();
}
