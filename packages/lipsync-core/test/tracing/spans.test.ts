import { context, trace } from '@opentelemetry/api';
import { node, tracing } from '@opentelemetry/sdk-node';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { activeTraceparent, annotateSpan, openSpan, traced, traceFields } from '../../src/tracing/spans.ts';

const traceId = 'a'.repeat(32);
const parent = `00-${traceId}-${'b'.repeat(16)}-01`;
const exporter = new tracing.InMemorySpanExporter();
const provider = new node.NodeTracerProvider({
  spanProcessors: [new tracing.SimpleSpanProcessor(exporter)],
});
provider.register();
afterAll(async () => {
  await provider.shutdown();
  trace.disable();
  context.disable();
});
beforeEach(() => exporter.reset());

it('A span continues the trace of a traceparent, and spans within it are its children.', async () => {
  const fields = await traced('outer', { parent }, () => traced('inner', {}, async () => traceFields()));
  const [inner, outer] = exporter.getFinishedSpans();
  expect(outer?.spanContext().traceId).toBe(traceId);
  expect(outer?.parentSpanContext?.spanId).toBe('b'.repeat(16));
  expect(inner?.parentSpanContext?.spanId).toBe(outer?.spanContext().spanId);
  expect(fields).toEqual({ traceId, spanId: inner?.spanContext().spanId });
});

it('A span within the same trace is a child of the active span, not of the traceparent.', async () => {
  await traced('queue', { parent }, () => traced('run', { parent }, async () => undefined));
  const [run, queue] = exporter.getFinishedSpans();
  expect(run?.parentSpanContext?.spanId).toBe(queue?.spanContext().spanId);
});

it.each(['', 'made up', `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, `ff-${traceId}-${'b'.repeat(16)}-01`, null])(
  'The traceparent %j is not continued.',
  async (invalid) => {
    await traced('alone', { parent: invalid }, async () => undefined);
    expect(exporter.getFinishedSpans()[0]?.parentSpanContext).toBeUndefined();
  },
);

it('A failed span has the error code and neither message nor stack, and a canceled one is not an error.', async () => {
  const error = new LipsyncError('clip_unusable', 'https://cdn.example/film.mp4 has no face.');
  await expect(traced('failed', {}, () => Promise.reject(error))).rejects.toBe(error);
  await traced('canceled', {}, () => Promise.reject(new LipsyncError('canceled', 'Canceled.'))).catch(() => undefined);
  const [failed, canceled] = exporter.getFinishedSpans();
  expect(failed).toMatchObject({ status: { code: 2, message: 'clip_unusable' }, events: [] });
  expect(failed?.attributes).toEqual({ 'error.type': 'clip_unusable' });
  expect(canceled).toMatchObject({ status: { code: 0 }, attributes: { 'error.type': 'canceled' } });
});

it('A span links to the one that it resumes, and leaves out unknown values.', async () => {
  const span = openSpan('run', { link: parent, attributes: { job: 'job_1', cost: null } });
  span?.run(() => annotateSpan({ frames: 3, device: undefined }));
  expect(span?.run(() => activeTraceparent())).toBe(span?.traceparent);
  span?.end();
  const [ended] = exporter.getFinishedSpans();
  expect(ended?.links.map(({ context: linked }) => linked.traceId)).toEqual([traceId]);
  expect(ended?.attributes).toEqual({ job: 'job_1', frames: 3 });
});
