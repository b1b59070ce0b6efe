import type { Request } from 'express';
import type { FaultKind, RouteName } from '../faults/fault-types.ts';

/** What the stand-in was asked. Secrets are not in it, only whether they were sent. */
export interface LoggedRequest {
  readonly at: string;
  readonly requestId: string;
  readonly method: string;
  /** Without the query, which may be a signature. */
  readonly path: string;
  route: RouteName | null;
  readonly hasApiKey: boolean;
  readonly hasAuthorization: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** A JSON body as it came; null for others. */
  body: unknown;
  /** As announced; null where it was not. */
  readonly bodyBytes: number | null;
  faults: readonly FaultKind[];
  /** A key that came where only signed links belong. */
  leak: boolean;
  /** Null while the answer is not sent, and for good when the connection was cut instead. */
  status: number | null;
}

export interface RequestLog {
  add(entry: LoggedRequest): void;
  /** Oldest first. */
  entries(): readonly LoggedRequest[];
  clear(): void;
}

/** Keeps the last `limit` requests. */
export function createRequestLog(limit = 20_000): RequestLog {
  let entries: LoggedRequest[] = [];
  return {
    add(entry) {
      entries.push(entry);
      if (entries.length > limit + 1_000) entries = entries.slice(-limit);
    },
    entries: () => entries.slice(-limit),
    clear() {
      entries = [];
    },
  };
}

const secretHeaders = new Set(['x-api-key', 'authorization', 'cookie']);

export function describeRequest(request: Request, requestId: string, atMs: number): LoggedRequest {
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
