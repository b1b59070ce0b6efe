import express, { type IRouter, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import type { StandinControl } from '../control.ts';
import type { FaultRuleInput } from '../faults/fault-types.ts';
import { HeygenError, invalidParameter } from '../http/answer.ts';
import type { StandinSettings } from '../settings.ts';

const balanceSchema = z.strictObject({ balanceMicros: z.int() });
const sendSchema = z.strictObject({ lipsyncId: z.string() });
const releaseSchema = z.strictObject({ lipsyncId: z.string().optional() });

/**
 * Mounts the control under /standin: snake_case names, no key, and only for callers that address this machine by its
 * own name.
 */
export function mountControl(router: IRouter, control: StandinControl): void {
  const inner = express.Router();
  inner.use(requireLoopbackHost, express.json({ limit: '1mb' }));
  for (const name of ['faults', 'log', 'leaks', 'wallet', 'operations', 'settings', 'webhooks'] as const) {
    inner.get(`/${name}`, (_request, response) => answer(response, control[name]()));
  }
  inner.post('/faults', (request, response) => {
    const given = bodyOf(request);
    // `as`: `addFaults` validates every rule.
    orRefuse(() => control.addFaults(...((Array.isArray(given) ? given : [given]) as FaultRuleInput[])));
    answer(response, control.faults());
  });
  inner.delete('/faults', (_request, response) => {
    control.clearFaults();
    answer(response, control.faults());
  });
  inner.post('/settings', (request, response) => {
    // `as`: `changeSettings` validates the settings.
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

/** Blocks web pages of other sites, including those whose host name resolves to this machine (DNS rebinding). */
const requireLoopbackHost: RequestHandler = (request, _response, next) => {
  const isLoopback = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(request.headers.host ?? '');
  if (!isLoopback || request.headers.origin !== undefined)
    throw new HeygenError(403, 'forbidden', 'The control is available on this machine only');
  next();
};

function bodyOf(request: Request): unknown {
  return renameKeys(request.body ?? {}, toCamelCase);
}

function answer(response: Response, value: unknown): void {
  response.json(renameKeys(value, toSnakeCase));
}

/** Runs `work` and converts a ZodError to a 400 response. */
function orRefuse<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const [issue] = error.issues;
    throw invalidParameter(issue?.path.join('.') ?? 'body', z.prettifyError(error));
  }
}

function toCamelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}

function toSnakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Renames the keys of all objects in a value. */
function renameKeys(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameKeys(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [rename(name), renameKeys(inner, rename)]));
}
