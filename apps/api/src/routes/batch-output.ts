import { create as contentDisposition } from 'content-disposition';
import type { Request, Response } from 'express';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { batchManifestName, LipsyncError, storeErrorCodes, toBatchManifest, type JobRecord } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { fileContent, batchIdPath, type RouteDocumentation } from '../reference/documentation.ts';
import { requireJob } from './job-resource.ts';
import type { Route } from './route.ts';

const documentation: RouteDocumentation = {
  operationId: 'getBatchOutput',
  tag: 'Batches',
  summary: 'Download the videos of a batch',
  description: `A zip with the videos of the jobs that are completed by now, under the \`output_name\` of their items, and \`${batchManifestName}\`, which lists all jobs. Videos are stored without compression.`,
  parameters: { path: batchIdPath },
  responses: { 200: { description: 'The archive.', content: { 'application/zip': fileContent } } },
  problems: { 404: ['not_found'], 503: storeErrorCodes },
};

/** Serves the finished videos of a batch as one archive. */
export function batchOutputRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/batches/:id/output',
      documentation,
      handle: (request, response) => sendArchive(dependencies, request, response),
    },
  ];
}

interface ArchivedVideo {
  readonly name: string;
  readonly key: string;
  readonly sizeBytes: number;
  readonly endedAt: Date;
}

/**
 * Streams the archive: one file is open at a time, so memory does not grow with the batch. The connection is closed
 * before the end, with fewer bytes than announced, when a video is deleted meanwhile.
 */
async function sendArchive(dependencies: ApiDependencies, request: Request, response: Response): Promise<void> {
  const { artifacts, batches, store } = dependencies;
  const batch = await batches.settle(await requireJob(store, 'batch', { request, response }));
  const { jobs } = await batches.readContent(batch);
  const videos: ArchivedVideo[] = [];
  for (const job of jobs) videos.push(...(await findVideo(job, artifacts)));
  const zip = new ZipFile();
  const manifest = toBatchManifest(await batches.summarize(batch), jobs, new Set(videos.map(({ name }) => name)));
  zip.addBuffer(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`), batchManifestName, {
    compress: false,
  });
  let open: Readable | undefined;
  const openVideo = async (key: string, pass: (error: null, stream: Readable) => void): Promise<void> => {
    try {
      open = await artifacts.read(key);
      // The response may have been closed while the file was opened.
      if (response.destroyed) open.destroy();
      pass(null, open);
    } catch (error) {
      response.destroy(toError(error));
    }
  };
  for (const { name, key, sizeBytes, endedAt } of videos)
    zip.addReadStreamLazy(
      name,
      { compress: false, size: sizeBytes, mtime: endedAt },
      (pass) => void openVideo(key, pass),
    );
  response.set({
    'Content-Type': 'application/zip',
    'Cache-Control': 'private, no-store',
    'Content-Disposition': contentDisposition(`${batch.id}.zip`),
    'Content-Length': String(await sizeOf(zip)),
  });
  if (request.method === 'HEAD') return void response.end();
  zip.on('error', (error) => response.destroy(toError(error)));
  try {
    await pipeline(zip.outputStream, response);
  } catch (error) {
    if (!response.destroyed || LipsyncError.isInstance(error)) throw error;
  } finally {
    open?.destroy();
  }
}

async function findVideo(
  job: JobRecord<'lipsync'>,
  artifacts: Pick<ApiDependencies['artifacts'], 'stat'>,
): Promise<readonly ArchivedVideo[]> {
  // A deleted output may exist for another job that shares it.
  if (!job.batch || !job.result || job.outputDeletedAtMs !== undefined) return [];
  const { outputKey: key } = job.result;
  const artifact = await artifacts.stat(key);
  if (!artifact) return [];
  const endedAt = new Date(job.completedAtMs ?? job.createdAtMs);
  return [{ name: job.batch.outputName, key, sizeBytes: artifact.sizeBytes, endedAt }];
}

/** All sizes are known, because videos are not compressed. */
function sizeOf(zip: ZipFile): Promise<number> {
  return new Promise((resolve) => {
    // `as`: the types lack the argument of the callback.
    zip.end({ forceZip64Format: false, comment: '' }, resolve as () => void);
  });
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
