import express, { type ErrorRequestHandler, type Express, type Request } from 'express';
import type { StandinControl } from './control.ts';
import { errorAnswer, HeygenError, toHeygenError } from './http/heygen-error.ts';
import { logRequests } from './http/log-requests.ts';
import { mountAnswers, send, type AnswerDependencies } from './http/mount-answers.ts';
import type { RequestLog } from './http/request-log.ts';
import { assetRoutes, type AssetDependencies } from './routes/asset-routes.ts';
import { mountControl } from './routes/control-routes.ts';
import { mountDownloads, type DownloadDependencies } from './routes/download-route.ts';
import { lipsyncRoutes, type LipsyncDependencies } from './routes/lipsync-routes.ts';
import { userRoute } from './routes/user-route.ts';
import type { WebhookSender } from './webhooks/webhook-sender.ts';

export interface AppDependencies
  extends AnswerDependencies, AssetDependencies, LipsyncDependencies, DownloadDependencies {
  readonly log: RequestLog;
  readonly webhooks: WebhookSender;
  readonly webhookSecret: string;
  readonly openingBalanceMicros: number;
}

/** The API, its storage and the control on one origin. */
export function createApp(dependencies: AppDependencies, control: StandinControl): Express {
  const app = newApp();
  // Before the log, which is about what clients do.
  mountControl(app, control);
  app.use(logRequests(dependencies.log, dependencies.now));
  mountAnswers(
    app,
    [...assetRoutes(dependencies), ...lipsyncRoutes(dependencies), userRoute(dependencies.wallet)],
    dependencies,
  );
  mountDownloads(app, dependencies);
  return ended(app);
}

/** The downloads alone, for an origin of their own. */
export function createDownloadApp(dependencies: AppDependencies): Express {
  const app = newApp();
  app.use(logRequests(dependencies.log, dependencies.now));
  mountDownloads(app, dependencies);
  return ended(app);
}

function newApp(): Express {
  return express().disable('x-powered-by').set('query parser', 'simple').set('etag', false);
}

function ended(app: Express): Express {
  app.use((request: Request) => {
    throw new HeygenError(404, 'not_found', `No route ${request.method} ${request.path}`);
  });
  return app.use(answerErrors);
}

const answerErrors: ErrorRequestHandler = (error: unknown, request, response, next) => {
  if (response.headersSent) return next(error);
  send(errorAnswer(toHeygenError(error)), request, response);
};
