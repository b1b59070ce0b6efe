import {
  context,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type SpanContext,
} from '@opentelemetry/api';
import { toLipsyncError, type ErrorCode } from '../errors/index.ts';

/** Values that a span states. Null and undefined are left out. Never a user id, a file name or a URL. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface SpanOptions {
  readonly kind?: keyof typeof SpanKind;
  readonly attributes?: SpanAttributes;
  /** W3C traceparent of the parent, unless the active span belongs to the same trace. The active span without it. */
  readonly parent?: string | null | undefined;
  /** W3C traceparent of a span that this one continues. */
  readonly link?: string | undefined;
}

const tracerName = 'lipsync';

/** Whether spans are recorded. Without an SDK of this service or of the program, none is created. */
export function isTracing(): boolean {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(tracerName) !== undefined;
}

/** An open span. Call `end` once. */
export class OpenSpan {
  readonly #span: Span;
  readonly #context: Context;

  constructor(span: Span, parent: Context) {
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
  }

  /** Runs `work` inside the span: spans that it opens become children. */
  run<Result>(work: () => Result): Result {
    return context.with(this.#context, work);
  }

  get traceparent(): string {
    return toTraceparent(this.#span.spanContext());
  }

  rename(name: string): void {
    this.#span.updateName(name);
  }

  /** `code` states why the work failed; a cancel is not a failure. */
  end(attributes: SpanAttributes = {}, code?: ErrorCode | null): void {
    annotate(this.#span, attributes);
    if (code) fail(this.#span, code);
    this.#span.end();
  }
}

/** Opens a span; undefined while spans are not recorded. */
export function openSpan(name: string, options: SpanOptions = {}): OpenSpan | undefined {
  if (!isTracing()) return undefined;
  const parent = parentContext(options.parent);
  const linked = parseTraceparent(options.link);
  const span = trace.getTracer(tracerName).startSpan(
    name,
    {
      kind: SpanKind[options.kind ?? 'INTERNAL'],
      attributes: withoutNulls(options.attributes ?? {}),
      ...(linked && { links: [{ context: linked }] }),
    },
    parent,
  );
  return new OpenSpan(span, parent);
}

/** Runs `work` inside a span, which ends with it and states the code of its error. */
export async function traced<Result>(
  name: string,
  options: SpanOptions,
  work: (span: OpenSpan | undefined) => Promise<Result>,
): Promise<Result> {
  const span = openSpan(name, options);
  if (!span) return work(undefined);
  try {
    const result = await span.run(() => work(span));
    span.end();
    return result;
  } catch (error) {
    span.end({}, toLipsyncError(error).code);
    throw error;
  }
}

/** Adds attributes to the active span. */
export function annotateSpan(attributes: SpanAttributes): void {
  const span = trace.getActiveSpan();
  if (span) annotate(span, attributes);
}

/** Marks the active span as failed although its work did not throw. */
export function failSpan(code: ErrorCode): void {
  const span = trace.getActiveSpan();
  if (span) fail(span, code);
}

/** W3C traceparent of the active span; undefined without one. */
export function activeTraceparent(): string | undefined {
  const spanContext = trace.getActiveSpan()?.spanContext();
  return spanContext && trace.isSpanContextValid(spanContext) ? toTraceparent(spanContext) : undefined;
}

/** Fields of a log line that name the active span. */
export function traceFields(): object {
  const { traceId, spanId } = trace.getActiveSpan()?.spanContext() ?? {};
  return traceId === undefined ? {} : { traceId, spanId };
}

function annotate(span: Span, attributes: SpanAttributes): void {
  span.setAttributes(withoutNulls(attributes));
}

/** The message of an error is left out, because it may quote a URL or a file name. */
function fail(span: Span, code: ErrorCode): void {
  span.setAttribute('error.type', code);
  if (code !== 'canceled') span.setStatus({ code: SpanStatusCode.ERROR, message: code });
}

function withoutNulls(attributes: SpanAttributes): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[name, value]],
    ),
  );
}

function parentContext(traceparent: string | null | undefined): Context {
  const active = context.active();
  const given = parseTraceparent(traceparent);
  if (!given || trace.getSpanContext(active)?.traceId === given.traceId) return active;
  return trace.setSpanContext(ROOT_CONTEXT, given);
}

function parseTraceparent(traceparent: string | null | undefined): SpanContext | undefined {
  const [version, traceId = '', spanId = '', flags = ''] = traceparent?.split('-') ?? [];
  if (version === undefined || version === 'ff') return undefined;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  return trace.isSpanContextValid(spanContext) ? spanContext : undefined;
}

function toTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 1).toString(16).padStart(2, '0')}`;
}
