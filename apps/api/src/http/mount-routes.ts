import type { IRouter, Request, RequestHandler, Response } from 'express';
import type { Route } from '../routes/route.ts';
import { HttpError } from './problem.ts';

/**
 * Mounts routes, those that create jobs behind `limitCreation`. A known path with another method gets 405 with the allowed
 * methods.
 */
export function mountRoutes(router: IRouter, routes: readonly Route[], limitCreation?: RequestHandler): void {
  for (const [path, atPath] of Map.groupBy(routes, (route) => route.path)) {
    const mounted = router.route(path);
    for (const { method, handle, createsJobs } of atPath)
      mounted[method](...(createsJobs && limitCreation ? [limitCreation] : []), handle);
    mounted.all(refuseMethod(atPath.map(({ method }) => method)));
  }
}

/** Runs a handler of Express. Throws its error. */
export async function runHandler(handler: RequestHandler, request: Request, response: Response): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  void Promise.resolve(
    handler(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error))),
  ).catch(reject);
  await promise;
}

function refuseMethod(methods: readonly Route['method'][]): RequestHandler {
  const allowed = methods.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
  return (request) => {
    throw new HttpError('request_invalid', `${request.method} is not supported here. Use ${allowed}.`, {
      httpStatus: 405,
      headers: { Allow: allowed },
    });
  };
}
