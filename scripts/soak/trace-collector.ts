import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { z } from 'zod';

const valueSchema = z.object({
  stringValue: z.string().optional(),
  boolValue: z.boolean().optional(),
  intValue: z.union([z.number(), z.string()]).optional(),
  doubleValue: z.number().optional(),
});
const attributesSchema = z.array(z.object({ key: z.string(), value: valueSchema }));
const spanSchema = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  name: z.string(),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string(),
  attributes: attributesSchema.default([]),
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })).default([]),
  status: z.object({ code: z.number().optional() }).optional(),
});
const requestSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: attributesSchema }),
      scopeSpans: z.array(z.object({ spans: z.array(spanSchema) })),
    }),
  ),
});

export interface CollectedSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId: string | undefined;
  readonly name: string;
  /** Name of the process that recorded it, e.g. `lipsync-worker`. */
  readonly service: string;
  readonly pid: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Ids of spans. */
  readonly links: readonly string[];
  readonly startNs: bigint;
  readonly durationMs: number;
  readonly isError: boolean;
}

/** Receives spans over OTLP/HTTP in JSON. */
export class TraceCollector {
  readonly spans: CollectedSpan[] = [];
  readonly #server = createServer((request, response) => void this.#receive(request, response));

  static async start(): Promise<TraceCollector> {
    const collector = new TraceCollector();
    collector.#server.listen(0, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  /** Variables of a process whose spans this collector receives, with a short delay. */
  get environment(): Readonly<Record<string, string>> {
    // `as`: the address of a TCP server is an object.
    const { port } = this.#server.address() as AddressInfo;
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '200',
    };
  }

  ofTrace(traceId: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { resourceSpans } = requestSchema.parse(await json(request));
    for (const { resource, scopeSpans } of resourceSpans) {
      const facts = toValues(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) this.spans.push(toSpan(span, facts));
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }
}

function toSpan(span: z.infer<typeof spanSchema>, resource: Readonly<Record<string, unknown>>): CollectedSpan {
  const startNs = BigInt(span.startTimeUnixNano);
  return {
    traceId: span.traceId,
    id: span.spanId,
    parentId: span.parentSpanId === '' ? undefined : span.parentSpanId,
    name: span.name,
    service: String(resource['service.name']),
    pid: resource['process.pid'],
    attributes: toValues(span.attributes),
    links: span.links.map(({ spanId }) => spanId),
    startNs,
    durationMs: Number(BigInt(span.endTimeUnixNano) - startNs) / 1e6,
    isError: span.status?.code === 2,
  };
}

function toValues(attributes: z.infer<typeof attributesSchema>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? value.doubleValue ?? (value.intValue && Number(value.intValue)),
    ]),
  );
}

/** Draws spans as a tree, in the order of their starts. A parent that was not received is a root with its id only. */
export function drawTree(spans: readonly CollectedSpan[]): string {
  const ids = new Set(spans.map(({ id }) => id));
  const lostIds = new Set(spans.map(({ parentId }) => parentId ?? '').filter((id) => id !== '' && !ids.has(id)));
  const byStart = spans.toSorted((a, b) => Number(a.startNs - b.startNs));
  const draw = (parentId: string | undefined, depth: number): string[] =>
    byStart
      .filter((span) => span.parentId === parentId)
      .flatMap((span) => [`${'  '.repeat(depth)}${describe(span)}`, ...draw(span.id, depth + 1)]);
  const lost = [...lostIds].flatMap((id) => [`(span ${id} ended with its process)`, ...draw(id, 1)]);
  return [...draw(undefined, 0), ...lost].join('\n');
}

function describe({ name, service, durationMs, attributes, links, isError }: CollectedSpan): string {
  const facts = Object.entries(attributes)
    .filter(([key]) => key.startsWith('lipsync.') || key.startsWith('error') || key.endsWith('status_code'))
    .map(
      ([key, value]) => `${key.replace('lipsync.', '')}=${typeof value === 'number' ? round(value) : String(value)}`,
    );
  const link = links.length > 0 ? ` → links to ${links.join(', ')}` : '';
  return `${name} [${service}] ${Math.round(durationMs)} ms${isError ? ' FAILED' : ''} ${facts.join(' ')}${link}`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
