import type { Response } from 'express';
import { once } from 'node:events';

export interface ServerEvent {
  readonly event: string;
  readonly id: number | string;
  readonly data: unknown;
}

/** An open `text/event-stream` response. */
export interface EventStream {
  /** Resolves when the connection can take the next event; rejects with the abort when the client has closed it. */
  send(event: ServerEvent): Promise<void>;
  end(): void;
}

/**
 * Opens an event stream on `response`; `signal` ends it. A comment every `heartbeatMs` keeps proxies and the server's
 * own idle limit from closing it, and detects closed connections.
 */
export function openEventStream(response: Response, heartbeatMs: number, signal: AbortSignal): EventStream {
  response.status(200).set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write(': still here\n\n'), heartbeatMs);
  response.once('close', () => clearInterval(heartbeat));
  return {
    async send({ event, id, data }) {
      const hasRoom = response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
      if (!hasRoom) await once(response, 'drain', { signal });
    },
    end: () => void response.end(),
  };
}
