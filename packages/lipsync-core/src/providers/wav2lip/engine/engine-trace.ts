import { openSpan, type OpenSpan } from '../../../tracing/spans.ts';
import { startTracing, type Tracing } from '../../../tracing/start-tracing.ts';

let tracing: Promise<Tracing> | undefined;

/** The span of the work of an engine for one client, if the client belongs to a trace. */
export class ClientTrace {
  readonly #deviceName: string;
  #span: Promise<OpenSpan | undefined> | undefined;
  #batches = 0;
  #faces = 0;

  constructor(deviceName: string) {
    this.#deviceName = deviceName;
  }

  start(traceparent: string): void {
    tracing ??= startTracing('engine');
    const attributes = { 'lipsync.device': this.#deviceName };
    this.#span ??= tracing.then(() => openSpan('draw faces', { kind: 'SERVER', parent: traceparent, attributes }));
    // Without the SDK the engine works as well.
    this.#span.catch(() => undefined);
  }

  addBatch(faces: number): void {
    this.#batches += 1;
    this.#faces += faces;
  }

  end(): void {
    const attributes = { 'lipsync.batches': this.#batches, 'lipsync.frames': this.#faces };
    void this.#span
      ?.then(async (span) => {
        span?.end(attributes);
        (await tracing)?.flush();
      })
      .catch(() => undefined);
  }
}
