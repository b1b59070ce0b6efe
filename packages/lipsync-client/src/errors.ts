import type { JobView, ProblemView, QualityJobView } from './contract.ts';

/** Base of every error of this package. Decide by `code`, never by the text. */
export class LipsyncClientError extends Error {
  /** A code of the API's list, or `connection_failed` or `response_invalid`. */
  readonly code: string;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  constructor(message: string, { code, retryable, cause }: { code: string; retryable: boolean; cause?: unknown }) {
    super(message, cause === undefined ? {} : { cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = retryable;
  }
}

/** The service refused a request. The fields are those of its problem document. */
export class LipsyncApiError extends LipsyncClientError {
  readonly status: number;
  readonly requestId: string | null;
  /** Every problem of the body or query, by field; empty otherwise. */
  readonly errors: ProblemView['errors'];
  /** From the header `Retry-After`; null without one. */
  readonly retryAfterMs: number | null;

  constructor(status: number, problem: Partial<ProblemView>, retryAfterMs: number | null) {
    const { detail = `The service answered ${status} without a problem document.`, code = 'response_invalid' } =
      problem;
    super(detail, { code, retryable: problem.retryable ?? retryableStatuses.has(status) });
    this.status = status;
    this.requestId = problem.request_id ?? null;
    this.errors = problem.errors ?? [];
    this.retryAfterMs = retryAfterMs;
  }
}

/** Statuses of proxies in front of the service, which send no problem document. */
const retryableStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The service could not be reached, or did not respond in time. */
export class LipsyncConnectionError extends LipsyncClientError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: 'connection_failed', retryable: true, cause });
  }
}

/** A job ended without a result: it failed or was canceled. */
export class LipsyncJobError extends LipsyncClientError {
  readonly job: JobView | QualityJobView;

  constructor(job: JobView | QualityJobView) {
    const { id, error, status } = job;
    const reason = error ?? { message: `The job was ${status}.`, code: 'canceled', retryable: false };
    super(`${id}: ${reason.message}`, reason);
    this.job = job;
  }
}
