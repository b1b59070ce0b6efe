import { createWriteStream, openAsBlob } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema, type JobView } from '@lipsync/core/contract';

const pollIntervalMs = 200;

export interface LipsyncClient {
  /** Uploads the two files, streamed from disk. Returns the accepted job. */
  submit(
    files: { readonly videoPath: string; readonly audioPath: string },
    fields: Readonly<Record<string, string>>,
  ): Promise<JobView>;
  /** Polls until the job has ended; calls `onState` with every response. */
  follow(id: string, onState: (job: JobView) => void): Promise<JobView>;
  /** Stores the output at `path`. Written to a partial file first, then renamed. */
  download(job: JobView, path: string): Promise<void>;
}

/** An HTTP client of the service. Every method throws on an error response, and the reason of an aborted `signal`. */
export function createLipsyncClient(baseUrl: string, signal: AbortSignal): LipsyncClient {
  async function request(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(new URL(path, baseUrl), { ...init, signal });
    if (!response.ok)
      throw new Error(`${init.method ?? 'GET'} ${path} answered ${response.status}: ${await response.text()}`);
    return response;
  }
  return {
    async submit({ videoPath, audioPath }, fields) {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.set(name, value);
      form.set('video', await openAsBlob(videoPath), basename(videoPath));
      form.set('audio', await openAsBlob(audioPath), basename(audioPath));
      return readJob(await request('/lipsync', { method: 'POST', body: form }));
    },
    async follow(id, onState) {
      for (;;) {
        const job = await readJob(await request(`/lipsync/${id}`));
        onState(job);
        if (job.status !== 'queued' && job.status !== 'processing') return job;
        await sleep(pollIntervalMs, undefined, { signal });
      }
    },
    async download(job, path) {
      if (job.output_url === null) throw new Error(`Job ${job.id} has no output.`);
      const response = await request(job.output_url);
      if (response.body === null) throw new Error(`The response with the output of job ${job.id} has no body.`);
      await writeAtomically(Readable.fromWeb(response.body), path, signal);
    },
  };
}

async function readJob(response: Response): Promise<JobView> {
  return jobViewSchema.parse(await response.json());
}

async function writeAtomically(bytes: Readable, path: string, signal: AbortSignal): Promise<void> {
  const partialPath = `${path}.part`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await pipeline(bytes, createWriteStream(partialPath), { signal });
    await rename(partialPath, path);
  } finally {
    await rm(partialPath, { force: true });
  }
}
