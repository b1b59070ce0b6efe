import express, { type Express } from 'express';
import type { ApiDependencies } from './dependencies.ts';
import { requireAdmin, requireLoopback } from './http/access.ts';
import { allowOrigins } from './http/cors.ts';
import { KeyAccess } from './http/key-access.ts';
import { mountRoutes } from './http/mount-routes.ts';
import { answerProblems, HttpError } from './http/problem.ts';
import { createLoginLimit, limitRate } from './http/rate-limit.ts';
import { assignRequestId } from './http/request-id.ts';
import { logRequests } from './http/request-log.ts';
import { securityHeaders } from './http/security-headers.ts';
import { traceRequests } from './http/trace-requests.ts';
import { drainUnreadBody } from './http/unread-body.ts';
import { batchOutputRoutes } from './routes/batch-output.ts';
import { batchRoutes } from './routes/batches.ts';
import { createReferencePages } from './reference/pages.ts';
import { costRoutes } from './routes/costs.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { estimateRoutes } from './routes/estimate.ts';
import { healthRoutes } from './routes/health.ts';
import { EventStreams } from './routes/event-streams.ts';
import { jobRoutes } from './routes/job-routes.ts';
import { lipsyncOutputRoutes } from './routes/lipsync-output.ts';
import { lipsyncResource } from './routes/lipsync-resource.ts';
import { mcpRoutes } from './routes/mcp.ts';
import { metricRoutes } from './routes/metrics.ts';
import { qualityResource } from './routes/quality-resource.ts';
import { receiverRoutes } from './routes/receivers.ts';
import { providerRoutes } from './routes/providers.ts';
import { openApiPath, referenceRoutes } from './routes/reference.ts';
import type { Route } from './routes/route.ts';
import { scalingRoutes } from './routes/scaling.ts';
import { userRoutes } from './routes/users.ts';
import { verifyRoutes } from './routes/verify.ts';
import { vendorCallbackRoutes } from './routes/vendor-callbacks.ts';

/** Path of the reference pages. */
export const referencePath = '/docs';

/** Path of the queue dashboard. */
export const queueBoardPath = '/admin/queues';

/** Every route of the service except those of the queue dashboard. */
export function apiRoutes(dependencies: ApiDependencies): readonly Route[] {
  const streams = new EventStreams(dependencies);
  const routes = [
    ...healthRoutes(dependencies),
    ...jobRoutes(dependencies, lipsyncResource(dependencies), streams),
    ...lipsyncOutputRoutes(dependencies),
    ...batchOutputRoutes(dependencies),
    ...jobRoutes(dependencies, qualityResource(dependencies), streams),
    ...batchRoutes(dependencies, streams),
    ...deliveryRoutes(dependencies),
    ...receiverRoutes(dependencies),
    ...providerRoutes(dependencies),
    ...costRoutes(dependencies),
    ...estimateRoutes(dependencies),
    ...mcpRoutes(dependencies),
    ...metricRoutes(dependencies),
    ...scalingRoutes(dependencies),
    ...userRoutes(dependencies),
    ...verifyRoutes(dependencies),
    ...vendorCallbackRoutes(dependencies),
  ];
  return [...routes, ...referenceRoutes(dependencies, routes)];
}

/** Builds the Express app. The caller starts listening. */
export function createApp(dependencies: ApiDependencies): Express {
  const { keys, corsOrigins, logger, queueBoard, rateLimit, trustedProxies } = dependencies;
  const hasKeys = keys.length > 0;
  const keyAccess = new KeyAccess({ keys, loginLimit: createLoginLimit(rateLimit) });
  const routes = apiRoutes(dependencies);
  const app = express();
  app.disable('x-powered-by').set('query parser', 'simple').set('trust proxy', trustedProxies);

  app.use(
    assignRequestId,
    traceRequests,
    logRequests(logger),
    drainUnreadBody,
    securityHeaders(),
    allowOrigins(corsOrigins),
  );
  if (!hasKeys) app.use(requireLoopback(corsOrigins));
  mountRoutes(
    app,
    routes.filter(({ access }) => access === 'open'),
  );
  if (hasKeys) app.use([referencePath, openApiPath, queueBoardPath], keyAccess.requireKeyOrPassword);
  mountRoutes(
    app,
    routes.filter(({ access }) => access === 'browser'),
  );
  app.use(referencePath, createReferencePages());
  app.use(queueBoardPath, ...(hasKeys ? [requireAdmin] : []), queueBoard);
  if (hasKeys) app.use(keyAccess.requireKey, limitRate('all', rateLimit));
  mountRoutes(
    app,
    routes.filter(({ access }) => access === undefined),
    hasKeys ? limitRate('creating', rateLimit) : undefined,
  );
  app.use(() => {
    throw new HttpError('not_found', 'Unknown route. /docs lists the routes of this API.');
  });
  app.use(answerProblems(logger));
  return app;
}
