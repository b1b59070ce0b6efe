import type { IRouter, Request, Response } from 'express';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { AssetStore } from '../assets/asset-store.ts';
import type { FaultRules } from '../faults/fault-rules.ts';
import type { Fault } from '../faults/fault-types.ts';
import { spoiltAnswer } from '../faults/spoilt-answer.ts';
import type { Answer } from '../http/answer.ts';
import { delayed, refuseLeak, send } from '../http/mount-answers.ts';
import { pathPart } from '../http/route.ts';
import { xmlAnswer } from '../http/xml-answer.ts';
import type { SignedLinks } from '../links/signed-links.ts';
import type { Operation } from '../lipsyncs/operation.ts';
import type { Operations } from '../lipsyncs/operations.ts';
import type { StandinSettings } from '../settings.ts';

export interface DownloadDependencies {
  readonly faults: FaultRules;
  readonly operations: Operations;
  readonly links: SignedLinks;
  readonly assets: AssetStore;
}

/** A link to a job's video that is new with each call. */
export function videoLink(id: string, origin: string, links: SignedLinks, { linkLifetimeMs }: StandinSettings): string {
  return links.sign(origin, `/storage/videos/${id}.mp4`, linkLifetimeMs);
}

/** The routes that signed links lead to: finished videos, which faults can spoil, and assets. */
export function mountDownloads(router: IRouter, dependencies: DownloadDependencies): void {
  router.get('/storage/assets/:id', (request, response) => downloadAsset(request, response, dependencies));
  router.get('/storage/videos/:id.mp4', (request, response) => download(request, response, dependencies));
}

async function downloadAsset(
  request: Request,
  response: Response,
  { assets, links }: DownloadDependencies,
): Promise<void> {
  const refusal = refuseLeak(request, response) ?? refuseLink(request, links);
  if (refusal !== undefined) return send(refusal, request, response);
  const { mimeType, file } = assets.require(pathPart(request, 'id'));
  await sendFile(file.path, mimeType, request, response);
}

async function download(
  request: Request,
  response: Response,
  { faults: rules, operations, links }: DownloadDependencies,
): Promise<void> {
  const { logged } = response.locals;
  logged.route = 'download';
  const leak = refuseLeak(request, response);
  if (leak !== undefined) return send(leak, request, response);
  const operation = operations
    .all()
    .find(({ id, deletedAtMs }) => id === pathPart(request, 'id') && deletedAtMs === null);
  const faults = rules.take({
    route: 'download',
    lipsyncId: operation?.id,
    title: operation?.title,
    callbackId: operation?.request.callback_id,
  });
  logged.faults = faults.map(({ kind }) => kind);
  await delayed(faults);
  const spoilt = spoiltAnswer(faults);
  if (spoilt !== undefined) return send(spoilt.answer, request, response);
  const refusal = faults.some(({ kind }) => kind === 'expired') ? expired : refuseLink(request, links);
  if (refusal !== undefined) return send(refusal, request, response);
  if (operation?.output === undefined || operation.output === null)
    return send(xmlAnswer(404, 'NoSuchKey'), request, response);
  await sendVideo(operation.output, faults, request, response);
}

const expired = xmlAnswer(403, 'AccessDenied');

function refuseLink(request: Request, links: SignedLinks): Answer | undefined {
  return links.check(request.path, new URLSearchParams(request.url.split('?')[1])) ? undefined : expired;
}

async function sendVideo(
  { path }: NonNullable<Operation['output']>,
  faults: readonly Fault[],
  request: Request,
  response: Response,
): Promise<void> {
  const spoiling = faults.find(({ kind }) =>
    ['redirect', 'unplayable', 'truncate', 'stall', 'content_type'].includes(kind),
  );
  switch (spoiling?.kind) {
    case 'redirect':
      return response.redirect(302, spoiling.location);
    case 'unplayable':
      return void response.type('video/mp4').end(randomBytes(65_536));
    case 'truncate':
      return sendPart(path, spoiling.keptFraction, response, spoiling.announceWhole ? 'cut' : 'end');
    case 'stall':
      return sendPart(path, spoiling.keptFraction, response, 'stall');
    default:
      return sendFile(path, spoiling?.kind === 'content_type' ? spoiling.value : 'video/mp4', request, response);
  }
}

/** The first part of a file, then the end of the connection, of the answer, or nothing more. */
async function sendPart(
  path: string,
  keptFraction: number,
  response: Response,
  then: 'cut' | 'end' | 'stall',
): Promise<void> {
  const { size } = await stat(path);
  const keptBytes = Math.floor(size * keptFraction);
  response.type('video/mp4').set('Content-Length', String(then === 'end' ? keptBytes : size));
  response.flushHeaders();
  if (keptBytes > 0) {
    await pipeline(createReadStream(path, { end: keptBytes - 1 }), response, { end: then === 'end' }).catch(
      () => undefined,
    );
  } else if (then === 'end') response.end();
  // Cut only when the part is on its way, or less than it would arrive.
  if (then === 'cut') response.write('', () => response.destroy());
}

async function sendFile(path: string, type: string, request: Request, response: Response): Promise<void> {
  await new Promise<void>((resolve) => {
    // A reader who leaves halfway is no fault of anybody.
    response.sendFile(path, { headers: { 'Content-Type': type }, lastModified: false, cacheControl: false }, () =>
      resolve(),
    );
  });
  if (!response.headersSent) send(xmlAnswer(404, 'NoSuchKey'), request, response);
}
