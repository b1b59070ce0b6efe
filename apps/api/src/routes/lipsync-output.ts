import { create as contentDisposition } from 'content-disposition';
import type { Request, Response } from 'express';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { LipsyncError, storeErrorCodes, toOutputName, type JobRecord } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { chooseRange } from '../http/byte-range.ts';
import { HttpError } from '../http/problem.ts';
import { requireJob } from './job-resource.ts';
import { fileContent, jobIdPath, type RouteDocumentation } from '../reference/documentation.ts';
import type { Route } from './route.ts';

const video = { 'video/mp4': fileContent };

const outputDocumentation: RouteDocumentation = {
  operationId: 'getLipsyncOutput',
  tag: 'Lip-sync jobs',
  summary: 'Download the video of a lip-sync job',
  description:
    'The file name is derived from that of the clip. Supports `Range` with one range, `If-Range`, `If-None-Match` and `HEAD`. `404` until the job is completed.',
  parameters: {
    path: jobIdPath,
    header: z.object({
      Range: z
        .string()
        .optional()
        .meta({ description: 'One range of bytes.', examples: ['bytes=0-99'] }),
    }),
  },
  responses: {
    200: { description: 'The video.', content: video },
    206: { description: 'The range.', content: video },
    302: {
      description: 'A signed URL of the object store, where the operator has configured it. It supports `Range`, too.',
    },
  },
  problems: { 404: ['not_found'], 410: ['output_gone'], 416: ['request_invalid'], 503: storeErrorCodes },
};

/** Serves the finished video of a job, complete or by range. */
export function lipsyncOutputRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/lipsync/:id/output',
      documentation: outputDocumentation,
      handle: (request, response) => sendOutput(dependencies, request, response),
    },
  ];
}

async function sendOutput({ store, artifacts }: ApiDependencies, request: Request, response: Response): Promise<void> {
  const record = await requireJob(store, 'lipsync', { request, response });
  if (!record.result) throw noOutput(record);
  const { outputKey } = record.result;
  const artifact = await artifacts.stat(outputKey);
  if (record.outputDeletedAtMs !== undefined)
    throw new HttpError('output_gone', 'The video was deleted because of its age. Send the request again.');
  if (!artifact) throw new HttpError('not_found', 'The video of this job is no longer stored. Run the job again.');

  setFileHeaders(response, record, artifact.sizeBytes);
  if (request.fresh) return void response.status(304).end();
  if (request.method !== 'HEAD' && (await redirect(artifacts, outputKey, response))) return;
  const range = chooseRange(request, artifact.sizeBytes, response.get('ETag') ?? '');
  if (range === 'unsatisfiable') {
    throw new HttpError('request_invalid', `The video has ${artifact.sizeBytes} bytes; the range is not satisfiable.`, {
      httpStatus: 416,
      headers: { 'Content-Range': `bytes */${artifact.sizeBytes}` },
    });
  }
  const { start, end } = range ?? { start: 0, end: artifact.sizeBytes - 1 };
  if (range) response.status(206).set('Content-Range', `bytes ${start}-${end}/${artifact.sizeBytes}`);
  response.set('Content-Length', String(end - start + 1));
  if (request.method === 'HEAD') return void response.end();
  // Only a whole read compares the SHA-256.
  await stream(await artifacts.read(outputKey, range), response);
}

/** A published output never changes, so the job id is a strong validator. */
function setFileHeaders(response: Response, record: JobRecord<'lipsync'>, sizeBytes: number): void {
  const { video } = record.spec;
  const clipName = video.kind === 'artifact' ? video.name : 'video';
  response.type('video/mp4').set({
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, no-cache',
    'Content-Disposition': contentDisposition(toOutputName(clipName), { type: 'inline' }),
    ETag: `"${record.id}-${sizeBytes}"`,
  });
}

/** Sends the client to the store where that signs URLs. Signatures hold for one method, so HEAD is answered here. */
async function redirect(
  artifacts: ApiDependencies['artifacts'],
  outputKey: string,
  response: Response,
): Promise<boolean> {
  const url = await artifacts.signedUrl(outputKey, {
    contentType: 'video/mp4',
    contentDisposition: response.get('Content-Disposition') ?? 'inline',
  });
  if (url === undefined) return false;
  // The signature expires.
  response.removeHeader('ETag');
  response.set('Cache-Control', 'private, no-store').redirect(302, url);
  return true;
}

async function stream(source: NodeJS.ReadableStream, response: Response): Promise<void> {
  try {
    await pipeline(source, response);
  } catch (error) {
    // Players close the connection when they seek; that is not an error.
    if (!response.destroyed || LipsyncError.isInstance(error)) throw error;
  }
}

function noOutput({ status, error }: JobRecord): HttpError {
  if (status === 'failed' && error)
    return new HttpError('not_found', `The job failed, so there is no video: ${error.message}`);
  if (status === 'canceled') return new HttpError('not_found', 'The job was canceled, so there is no video.');
  return new HttpError('not_found', 'The job is not completed yet. Wait for it, then fetch the video.', {
    headers: { 'Retry-After': '1' },
  });
}
