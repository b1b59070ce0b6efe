import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import type { FaultKind, RouteName } from '../faults/fault-types.ts';

/** A received request. Contains no secrets, only whether they were sent. */
export interface LoggedRequest {
  readonly at: string;
  readonly requestId: string;
  readonly method: string;
  /** Without the query, which may contain a signature. */
  readonly path: string;
  route: RouteName | null;
  readonly hasApiKey: boolean;
  readonly hasAuthorization: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** A JSON body; null for other bodies. */
  body: unknown;
  /** `Content-Length`; null without that header. */
  readonly bodyBytes: number | null;
  faults: readonly FaultKind[];
  /** A secret was sent to a signed link. */
  leak: boolean;
  /** Null before the response, and permanently if the connection was cut instead. */
  status: number | null;
}

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- Express types response locals through this namespace only
  namespace Express {
    interface Locals {
      logged: LoggedRequest;
    }
  }
}

const maxEntries = 20_000;
/** Trims in batches, because trimming copies the log. */
const trimBatch = 1_000;

/** The most recent requests. */
export class RequestLog {
  #entries: LoggedRequest[] = [];

  add(entry: LoggedRequest): void {
    this.#entries.push(entry);
    if (this.#entries.length > maxEntries + trimBatch) this.#entries = this.#entries.slice(-maxEntries);
  }

  /** Oldest first. */
  list(): readonly LoggedRequest[] {
    return this.#entries.slice(-maxEntries);
  }

  clear(): void {
    this.#entries = [];
  }
}

/** Logs every request and sets `X-Request-Id` on every response. */
export function logRequests(log: RequestLog, now: () => number): RequestHandler {
  return (request, response, next) => {
    const requestId = randomUUID();
    response.set('X-Request-Id', requestId);
    const entry = describeRequest(request, requestId, now());
    response.locals.logged = entry;
    log.add(entry);
    response.once('finish', () => {
      entry.status = response.statusCode;
    });
    next();
  };
}

const secretHeaders = new Set(['x-api-key', 'authorization', 'cookie']);

function describeRequest(request: Request, requestId: string, atMs: number): LoggedRequest {
  const headers = Object.entries(request.headers).filter(([name]) => !secretHeaders.has(name));
  const length = request.get('Content-Length');
  return {
    at: new Date(atMs).toISOString(),
    requestId,
    method: request.method,
    path: request.path,
    route: null,
    hasApiKey: request.get('X-Api-Key') !== undefined,
    hasAuthorization: request.get('Authorization') !== undefined,
    headers: Object.fromEntries(headers.map(([name, value]) => [name, String(value)])),
    body: null,
    bodyBytes: length === undefined ? null : Number(length),
    faults: [],
    leak: false,
    status: null,
  };
}
