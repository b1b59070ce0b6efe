import type { RequestHandler } from 'express';
import type { RouteDocumentation } from '../reference/documentation.ts';

/** A route as data: the app mounts it, and tests compare it with the documentation. */
export interface Route {
  readonly method: 'get' | 'post' | 'delete' | 'options';
  readonly path: string;
  /** If keys are set, `open` needs none, and `browser` accepts one as a password too. */
  readonly access?: 'open' | 'browser';
  /** Creates jobs, so it has a lower rate limit. */
  readonly createsJobs?: true;
  /** What `/openapi.json` states about the route. */
  readonly documentation: RouteDocumentation;
  readonly handle: RequestHandler;
}
