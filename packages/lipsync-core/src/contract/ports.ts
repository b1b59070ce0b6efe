/** The small outside things that a test replaces. */

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
}

export interface IdSource {
  /** A new id for a job: URL-safe, sorts by time, neither an integer nor containing a colon. */
  jobId(): string;
}

/** Ids that connect work with the request that caused it; null if there is none. */
export interface TraceContext {
  /** Id of the API request, as in its log lines and problem documents. */
  readonly requestId: string | null;
  /** W3C Trace Context header of the request. */
  readonly traceparent: string | null;
}

/** Structured logging; the first argument holds fields, never secrets. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
