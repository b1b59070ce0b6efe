import { isTracing, openSpan, activeTraceparent, type OpenSpan } from '@lipsync/core/host';
import { SpanKind, type Telemetry } from 'bullmq';

/** A context of BullMQ: the active one, with a span that BullMQ opened, or the sender of an entry. */
interface QueueContext {
  readonly span?: OpenSpan | undefined;
  readonly sender?: string;
}

/**
 * The `telemetry` option of queues and workers: one span where a job is queued and one where a worker processes it, as
 * parts of the trace of its request. BullMQ's other spans, for polls and locks, would each be a trace of their own.
 * Absent while spans are not recorded.
 */
export function queueTelemetry(): { readonly telemetry?: Telemetry<QueueContext> } {
  return isTracing() ? { telemetry } : {};
}

const telemetry: Telemetry<QueueContext> = {
  tracer: {
    startSpan(name, { kind } = { kind: SpanKind.INTERNAL }, context: QueueContext = {}) {
      const span = open(name, kind, context.sender);
      return {
        setSpanOnContext: (on: QueueContext): QueueContext => ({ ...on, span }),
        setAttribute: () => undefined,
        setAttributes: () => undefined,
        addEvent: () => undefined,
        recordException: () => undefined,
        end: () => span?.end(),
      };
    },
  },
  contextManager: {
    active: (): QueueContext => ({}),
    with: ({ span }: QueueContext, work) => (span ? span.run(work) : work()),
    getMetadata: ({ span }: QueueContext) => span?.traceparent ?? activeTraceparent() ?? '',
    fromMetadata: (_active, sender): QueueContext => ({ sender }),
  },
};

function open(name: string, kind: SpanKind, sender: string | undefined): OpenSpan | undefined {
  if (kind === SpanKind.PRODUCER && activeTraceparent() !== undefined) return openSpan(name, { kind: 'PRODUCER' });
  if (kind === SpanKind.CONSUMER && sender !== undefined) return openSpan(name, { kind: 'CONSUMER', parent: sender });
  return undefined;
}
