import type { Request } from 'express';
import { z } from 'zod';
import type { FaultSubject } from '../faults/fault-rules.ts';
import { dataAnswer, HeygenError, invalidParameter, listAnswer, type Answer } from '../http/answer.ts';
import { pathParameter, type Call, type Route } from '../http/mount-routes.ts';
import { acceptLipsync, type AcceptDependencies } from '../lipsyncs/accept-lipsync.ts';
import { parseBody, parseCreateBody } from '../lipsyncs/create-body.ts';
import { toBulkStatus, toLipsyncView } from '../lipsyncs/lipsync-view.ts';
import { countRead, hurry, type Operation, type Operations } from '../lipsyncs/operation.ts';
import type { Wallet } from '../lipsyncs/wallet.ts';
import { createVideoLink, type VideoLinkDependencies } from './download-routes.ts';

export type LipsyncDependencies = AcceptDependencies & VideoLinkDependencies;

const maxIds = 100;
const titleSchema = z.strictObject({ title: z.string() });

/** The routes of lip-sync jobs and of the account that pays for them. */
export function createLipsyncRoutes(dependencies: LipsyncDependencies): readonly Route[] {
  const { operations, wallet } = dependencies;
  const path = '/v3/lipsyncs/:id';
  const subject = (request: Request): Omit<FaultSubject, 'route'> =>
    subjectOf(pathParameter(request, 'id'), operations.all());
  return [
    {
      name: 'create',
      method: 'post',
      path: '/v3/lipsyncs',
      idempotent: true,
      subject: subjectOfBody,
      handle: (call) => create(call, dependencies),
    },
    { name: 'list', method: 'get', path: '/v3/lipsyncs', handle: (call) => list(call, dependencies) },
    { name: 'statuses', method: 'get', path: '/v3/lipsyncs/statuses', handle: (call) => statuses(call, dependencies) },
    { name: 'get', method: 'get', path, subject, handle: (call) => read(call, dependencies) },
    { name: 'rename', method: 'patch', path, subject, handle: (call) => rename(call, dependencies) },
    { name: 'delete', method: 'delete', path, subject, handle: (call) => remove(call, operations) },
    { name: 'me', method: 'get', path: '/v3/users/me', handle: () => readAccount(wallet) },
  ];
}

function subjectOfBody(request: Request): Omit<FaultSubject, 'route'> {
  const { data } = z.object({ title: z.string().nullish(), callback_id: z.string().nullish() }).safeParse(request.body);
  return { title: data?.title, callbackId: data?.callback_id };
}

function subjectOf(id: string, all: readonly Operation[]): Omit<FaultSubject, 'route'> {
  const operation = all.find((candidate) => candidate.id === id);
  return { lipsyncId: id, title: operation?.title, callbackId: operation?.request.callback_id };
}

async function create({ request, faults }: Call, dependencies: LipsyncDependencies): Promise<Answer> {
  if (request.is('application/json') === false) throw invalidParameter('body', 'Content-Type must be application/json');
  const { id } = await acceptLipsync(parseCreateBody(request.body), faults, dependencies);
  return dataAnswer({ lipsync_id: id });
}

async function read({ request, faults }: Call, dependencies: LipsyncDependencies): Promise<Answer> {
  const id = pathParameter(request, 'id');
  await countRead(dependencies.operations.require(id), dependencies.settings.current);
  // Required again, because the job may have been deleted while the read waited.
  return dataAnswer(view(dependencies.operations.require(id), faults, dependencies));
}

function rename({ request, faults }: Call, dependencies: LipsyncDependencies): Answer {
  const operation = dependencies.operations.require(pathParameter(request, 'id'));
  operation.title = parseBody(titleSchema, request.body).title;
  return dataAnswer(view(operation, faults, dependencies));
}

async function remove({ request, faults }: Call, operations: Operations): Promise<Answer> {
  const id = pathParameter(request, 'id');
  const tooLate = faults.find((fault) => fault.kind === 'finish');
  if (tooLate) await hurry(operations.require(id));
  if (tooLate?.outcome === 'refused') throw new HeygenError(409, 'conflict', `Lipsync ${id} is complete`);
  return dataAnswer({ id: operations.delete(id, { lingers: tooLate !== undefined }).id });
}

function list({ request, faults }: Call, dependencies: LipsyncDependencies): Answer {
  const limit = parseLimit(request);
  const all = dependencies.operations.list();
  const token = request.query['token'];
  const start = token === undefined ? 0 : all.findIndex(({ id }) => id === token);
  if (start < 0) throw invalidParameter('token', 'Invalid token');
  const next = all[start + limit];
  return listAnswer(
    all.slice(start, start + limit).map((operation) => view(operation, faults, dependencies)),
    next?.id ?? null,
  );
}

function parseLimit(request: Request): number {
  const limit = Number(request.query['limit'] ?? 10);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100)
    throw invalidParameter('limit', 'Must be between 1 and 100');
  return limit;
}

async function statuses({ request, faults }: Call, { operations, settings }: LipsyncDependencies): Promise<Answer> {
  const given = request.query['lipsync_ids'];
  const ids = typeof given === 'string' ? given.split(',').filter((id) => id !== '') : [];
  if (ids.length === 0) throw invalidParameter('lipsync_ids', 'Give lipsync_ids');
  if (ids.length > maxIds) throw invalidParameter('lipsync_ids', `At most ${maxIds} ids`);
  const found = new Map(operations.list().map((operation) => [operation.id, operation]));
  await Promise.all(
    ids.flatMap((id) => found.get(id) ?? []).map((operation) => countRead(operation, settings.current)),
  );
  return listAnswer(ids.map((id) => toBulkStatus(id, found.get(id), faults)));
}

function view(operation: Operation, faults: Call['faults'], dependencies: LipsyncDependencies): object {
  const videoUrl = operation.status === 'completed' ? createVideoLink(operation.id, dependencies) : null;
  return toLipsyncView(operation, videoUrl, dependencies.settings.current, faults);
}

function readAccount(wallet: Wallet): Answer {
  return dataAnswer({
    username: 'standin',
    email: null,
    first_name: null,
    last_name: null,
    billing_type: 'wallet',
    wallet: {
      currency: 'usd',
      remaining_balance: wallet.state().balanceMicros / 1_000_000,
      auto_reload: { enabled: false, threshold_usd: null, amount_usd: null },
    },
    subscription: null,
    usage_based: null,
  });
}
