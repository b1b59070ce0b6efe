import express, { type IRouter, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import type { StandinControl } from '../control.ts';
import type { FaultRuleInput } from '../faults/fault-types.ts';
import { camelCased, snakeCased } from '../http/case.ts';
import { HeygenError, invalidParameter } from '../http/heygen-error.ts';
import type { StandinSettings } from '../settings.ts';

const balanceSchema = z.strictObject({ balanceMicros: z.int() });
const sendSchema = z.strictObject({ lipsyncId: z.string() });
const releaseSchema = z.strictObject({ lipsyncId: z.string().optional() });

/** The control over HTTP, under /standin: snake_case, no key, and for callers that address this machine as itself. */
export function mountControl(router: IRouter, control: StandinControl): void {
  const { faults, log, leaks, wallet, operations, settings, webhooks } = control;
  const reads = { faults, log, leaks, wallet, operations, settings, webhooks };
  const inner = express.Router();
  inner.use(requireLoopbackName, express.json({ limit: '1mb' }));
  for (const [name, readState] of Object.entries(reads)) {
    inner.get(`/${name}`, (_request, response) => answer(response, readState()));
  }
  inner.post('/faults', (request, response) => {
    const given = bodyOf(request);
    // Each rule is parsed by whoever keeps it.
    orRefuse(() => control.addFaults(...((Array.isArray(given) ? given : [given]) as FaultRuleInput[])));
    answer(response, control.faults());
  });
  inner.delete('/faults', (_request, response) => {
    control.clearFaults();
    answer(response, control.faults());
  });
  inner.post('/settings', (request, response) => {
    // Parsed as a whole by whoever keeps them.
    orRefuse(() => control.changeSettings(bodyOf(request) as Partial<StandinSettings>));
    answer(response, control.settings());
  });
  inner.post('/wallet', (request, response) => {
    control.setBalance(orRefuse(() => balanceSchema.parse(bodyOf(request))).balanceMicros);
    answer(response, control.wallet());
  });
  inner.post('/release', (request, response) => {
    control.release(orRefuse(() => releaseSchema.parse(bodyOf(request))).lipsyncId);
    answer(response, control.operations());
  });
  inner.post('/webhooks', (request, response) =>
    control
      .sendWebhook(orRefuse(() => sendSchema.parse(bodyOf(request))).lipsyncId)
      .then(() => answer(response, control.webhooks())),
  );
  inner.post('/reset', (_request, response) => control.reset().then(() => answer(response, control.operations())));
  router.use('/standin', inner);
}

/** Stops a foreign page whose name was pointed at this machine. */
const requireLoopbackName: RequestHandler = (request, _response, next) => {
  const isLoopback = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(request.headers.host ?? '');
  if (!isLoopback || request.headers.origin !== undefined)
    throw new HeygenError(403, 'forbidden', 'The control answers on this machine only');
  next();
};

function bodyOf(request: Request): unknown {
  return camelCased(request.body ?? {});
}

function answer(response: Response, value: unknown): void {
  response.json(snakeCased(value));
}

/** What `work` returns; what a schema refuses becomes a 400 with its reasons. */
function orRefuse<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const [issue] = error.issues;
    throw invalidParameter(issue?.path.join('.') ?? 'body', z.prettifyError(error));
  }
}
