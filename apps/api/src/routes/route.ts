import type { RequestHandler } from 'express';

/** A route as data: the app mounts it, and a test compares it with the documentation. */
export interface Route {
  readonly method: 'get' | 'post' | 'delete' | 'options';
  readonly path: string;
  /** Needs no key, even if keys are set. */
  readonly open?: true;
  /** Creates jobs, so it has a lower rate limit. */
  readonly createsJobs?: true;
  readonly handle: RequestHandler;
}
