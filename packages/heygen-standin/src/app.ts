import express, { type ErrorRequestHandler, type Express, type Request } from 'express';
import type { StandinControl } from './control.ts';
import { errorAnswer, HeygenError, toHeygenError } from './http/answer.ts';
import { mountRoutes, send } from './http/mount-routes.ts';
import { logRequests } from './http/request-log.ts';
import type { StandinParts } from './parts.ts';
import { createAssetRoutes } from './routes/asset-routes.ts';
import { mountControl } from './routes/control-routes.ts';
import { mountDownloads } from './routes/download-routes.ts';
import { createLipsyncRoutes } from './routes/lipsync-routes.ts';

/** The API, its storage and the control routes on one origin. */
export function createApp(parts: StandinParts, control: StandinControl): Express {
  const app = createExpress();
  // Mounted before the log, which records API clients only.
  mountControl(app, control);
  app.use(logRequests(parts.log, parts.now));
  mountRoutes(app, [...createAssetRoutes(parts), ...createLipsyncRoutes(parts)], parts);
  mountDownloads(app, parts);
  return addErrorHandlers(app);
}

/** The downloads alone, for a separate origin. */
export function createDownloadApp(parts: StandinParts): Express {
  const app = createExpress();
  app.use(logRequests(parts.log, parts.now));
  mountDownloads(app, parts);
  return addErrorHandlers(app);
}

function createExpress(): Express {
  return express().disable('x-powered-by').set('query parser', 'simple').set('etag', false);
}

function addErrorHandlers(app: Express): Express {
  app.use((request: Request) => {
    throw new HeygenError(404, 'not_found', `No route ${request.method} ${request.path}`);
  });
  return app.use(handleError);
}

const handleError: ErrorRequestHandler = (error: unknown, request, response, next) => {
  if (response.headersSent) return next(error);
  send(errorAnswer(toHeygenError(error)), request, response);
};
