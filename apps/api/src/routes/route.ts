import type { RequestHandler } from 'express';

/** A route as data: the app mounts it, the documentation is compared with it. */
export interface Route {
  readonly method: 'get' | 'post' | 'options';
  readonly path: string;
  /** Answered without a key even where keys are set. */
  readonly open?: true;
  readonly handle: RequestHandler;
}
