import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import type { JobView, LipsyncClient, LipsyncRequest } from '@lipsync/client';

export interface InputPaths {
  readonly videoPath: string;
  readonly audioPath: string;
}

/** The optional fields of a request. */
export type JobFields = Omit<LipsyncRequest, 'video' | 'audio'>;

/** Creates a job of two files, which are streamed from disk. Throws as `LipsyncClient.create` does. */
export async function createJob(
  client: LipsyncClient,
  { videoPath, audioPath }: InputPaths,
  fields: JobFields,
  signal: AbortSignal,
): Promise<JobView> {
  const [video, audio] = await Promise.all([openFile(videoPath), openFile(audioPath)]);
  return client.create({ ...fields, video, audio }, { signal });
}

/** A `File` refers to the blob and copies nothing. */
async function openFile(path: string): Promise<File> {
  return new File([await openAsBlob(path)], basename(path));
}
