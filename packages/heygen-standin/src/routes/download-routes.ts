import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { IRouter, Request, Response } from 'express';
import type { AssetStore } from '../assets/asset-store.ts';
import { findReplacement, type FaultRules } from '../faults/fault-rules.ts';
import type { Fault } from '../faults/fault-types.ts';
import { xmlAnswer, type Answer } from '../http/answer.ts';
import { applyDelays, pathParameter, refuseSecrets, send } from '../http/mount-routes.ts';
import type { SignedLinks } from '../http/signed-links.ts';
import type { Operation, Operations } from '../lipsyncs/operation.ts';
import type { LiveSettings } from '../settings.ts';

export interface VideoLinkDependencies {
  readonly links: SignedLinks;
  readonly settings: LiveSettings;
  readonly downloadOrigin: () => string;
}

export interface DownloadDependencies {
  readonly faults: FaultRules;
  readonly operations: Operations;
  readonly links: SignedLinks;
  readonly assets: AssetStore;
}

/** Creates a link to a job's video; every call returns a different one. */
export function createVideoLink(id: string, { links, settings, downloadOrigin }: VideoLinkDependencies): string {
  return links.sign(downloadOrigin(), `/storage/videos/${id}.mp4`, settings.current.linkLifetimeMs);
}

/** Mounts the targets of signed links: assets, and videos, to which download faults apply. */
export function mountDownloads(router: IRouter, dependencies: DownloadDependencies): void {
  router.get('/storage/assets/:id', (request, response) => downloadAsset(request, response, dependencies));
  router.get('/storage/videos/:id.mp4', (request, response) => downloadVideo(request, response, dependencies));
}

async function downloadAsset(
  request: Request,
  response: Response,
  { assets, links }: DownloadDependencies,
): Promise<void> {
  const refusal = refuseSecrets(request, response) ?? refuseLink(request, links);
  if (refusal !== undefined) return send(refusal, request, response);
  const { mimeType, file } = assets.require(pathParameter(request, 'id'));
  await sendFile(file.path, mimeType, request, response);
}

async function downloadVideo(
  request: Request,
  response: Response,
  { faults: rules, operations, links }: DownloadDependencies,
): Promise<void> {
  const { logged } = response.locals;
  logged.route = 'download';
  const leak = refuseSecrets(request, response);
  if (leak !== undefined) return send(leak, request, response);
  const operation = operations.list().find(({ id }) => id === pathParameter(request, 'id'));
  const faults = rules.take({
    route: 'download',
    lipsyncId: operation?.id,
    title: operation?.title,
    callbackId: operation?.request.callback_id,
  });
  logged.faults = faults.map(({ kind }) => kind);
  await applyDelays(faults);
  const replacement = findReplacement(faults);
  if (replacement !== undefined) return send(replacement.answer, request, response);
  const refusal = faults.some(({ kind }) => kind === 'expired') ? accessDenied : refuseLink(request, links);
  if (refusal !== undefined) return send(refusal, request, response);
  if (operation?.output === undefined || operation.output === null)
    return send(xmlAnswer(404, 'NoSuchKey'), request, response);
  await sendVideo(operation.output, faults, request, response);
}

const accessDenied = xmlAnswer(403, 'AccessDenied');

function refuseLink(request: Request, links: SignedLinks): Answer | undefined {
  return links.verify(request.path, request.url) ? undefined : accessDenied;
}

async function sendVideo(
  { path }: NonNullable<Operation['output']>,
  faults: readonly Fault[],
  request: Request,
  response: Response,
): Promise<void> {
  const fault = faults.find(({ kind }) =>
    ['redirect', 'unplayable', 'truncate', 'stall', 'content_type'].includes(kind),
  );
  switch (fault?.kind) {
    case 'redirect':
      return response.redirect(302, fault.location);
    case 'unplayable':
      return void response.type('video/mp4').end(randomBytes(65_536));
    case 'truncate':
      return sendPart(path, fault.keptFraction, response, fault.announceWhole ? 'cut' : 'end');
    case 'stall':
      return sendPart(path, fault.keptFraction, response, 'stall');
    default:
      return sendFile(path, fault?.kind === 'content_type' ? fault.value : 'video/mp4', request, response);
  }
}

/** Sends the first part of a file, then cuts the connection, ends the response, or sends nothing more. */
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
  // Cuts after the last write, so that the whole part arrives.
  if (then === 'cut') response.write('', () => response.destroy());
}

async function sendFile(path: string, type: string, request: Request, response: Response): Promise<void> {
  await new Promise<void>((resolve) => {
    const headers = { 'Content-Type': type };
    // `dotfiles`: the path of the temporary folder may contain a name that starts with a dot.
    // The callback also runs when the client disconnects early.
    response.sendFile(path, { headers, dotfiles: 'allow', lastModified: false, cacheControl: false }, () => resolve());
  });
  if (!response.headersSent) send(xmlAnswer(404, 'NoSuchKey'), request, response);
}
