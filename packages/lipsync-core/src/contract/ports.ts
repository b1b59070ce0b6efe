/** The small outside things that a test replaces. */

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
}

export interface IdSource {
  /** A new id for a job: URL-safe, sorts by time, neither an integer nor containing a colon. */
  jobId(): string;
}

/** Structured logging; the first argument holds fields, never secrets. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
