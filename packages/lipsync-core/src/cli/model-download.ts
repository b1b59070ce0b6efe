import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pRetry from 'p-retry';
import { abortError, LipsyncError, toLipsyncError, toStorageError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { GuardedClient, RequestError, type AllowedPrivateHosts, type RequestFailure } from '../net/index.ts';
import { createFolder, openProcessWorkspace, sweepProcessWorkspaces } from '../processes/workspace.ts';
import { decideRetry, downloadPauseMs, maxDownloadTries } from '../providers/retry-policy.ts';
import { placeDurably, renameDurably, requireRoom, syncFile } from '../storage/durable-files.ts';
import { ContentHash } from '../storage/file-hash.ts';

/** A file of known size and content at the address of its authors. */
export interface RemoteFile {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ModelDownload {
  readonly file: RemoteFile;
  readonly outputPath: string;
  readonly overwrite: boolean;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  readonly signal: AbortSignal;
  readonly retryPauseMs?: number;
  /** Called with the completed share, 0 to 1. */
  onProgress(done: number): void;
}

const timeoutMs = 60 * 60_000;
const idleTimeoutMs = 30_000;

/**
 * Downloads a file into a folder of this process beside the output, compares size and SHA-256, and renames it. A failed
 * or aborted download leaves nothing; a killed one leaves a folder that the next download removes. Throws
 * `model_invalid` for other content, `output_exists`, the errors of `GuardedClient.download`, and storage errors.
 */
export async function downloadModel(request: ModelDownload): Promise<void> {
  const { outputPath, file, overwrite, signal } = request;
  const folder = dirname(outputPath);
  const inFolder = storageErrors(folder);
  await inFolder(() => createFolder(folder));
  await sweepProcessWorkspaces(folder).catch(() => undefined);
  const workspace = await openProcessWorkspace(folder);
  try {
    const partPath = workspace.file('model');
    await inFolder(() => requireRoom(folder, file.bytes));
    await pRetry(() => tryDownload(partPath, request), {
      retries: maxDownloadTries - 1,
      minTimeout: request.retryPauseMs ?? downloadPauseMs,
      signal,
      shouldRetry: ({ error, attemptNumber }) =>
        decideRetry({ type: 'input_download' }, toLipsyncError(error), { failures: attemptNumber }).type === 'retry',
    });
    await inFolder(() => publish(partPath, outputPath, overwrite));
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    await workspace.remove();
  }
}

async function publish(partPath: string, outputPath: string, overwrite: boolean): Promise<void> {
  if (overwrite) return renameDurably(partPath, outputPath);
  await placeDurably(partPath, outputPath).catch((error: unknown) => {
    if (errnoCode(error) !== 'EEXIST') throw error;
    throw new LipsyncError('output_exists', `"${outputPath}" was created during the download. Nothing was replaced.`);
  });
}

async function tryDownload(partPath: string, request: ModelDownload): Promise<void> {
  const { file, allowedPrivateHosts, signal, onProgress } = request;
  await rm(partPath, { force: true });
  const response = await new GuardedClient({ allowedPrivateHosts })
    .download(file.url, { maxResponseBytes: file.bytes, timeoutMs, idleTimeoutMs, signal })
    .catch((error: unknown) => {
      throw nameHost(error, request);
    });
  const hash = new ContentHash();
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      onProgress(Math.min(1, hash.sizeBytes / file.bytes));
      done(null, chunk);
    },
  });
  await write(response.body, count, partPath, request);
  const found = hash.finish();
  if (found.sha256 !== file.sha256)
    throw new LipsyncError(
      'model_invalid',
      `The file at ${hostOf(file)} is not the recorded one: expected ${file.bytes} bytes with sha256 ${file.sha256}, found ${found.sizeBytes} bytes with ${found.sha256}. Nothing was kept.`,
    );
  await syncFile(partPath);
}

async function write(body: Readable, count: Transform, partPath: string, request: ModelDownload): Promise<void> {
  const { signal } = request;
  try {
    await pipeline(body, count, createWriteStream(partPath), { signal });
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    throw LipsyncError.isInstance(error)
      ? nameHost(error, request)
      : toStorageError(error, storageOf(dirname(partPath)));
  } finally {
    body.destroy();
  }
}

/** The message of a request leaves the address out, because it may be a secret elsewhere. */
function nameHost(error: unknown, { file, outputPath }: ModelDownload): unknown {
  if (error instanceof RequestError && offlineReasons.has(error.reason))
    return new LipsyncError(
      'fetch_failed',
      `${hostOf(file)} cannot be reached from this machine: ${error.finding}. Try again with a connection to it, or download ${file.url} elsewhere, save it as "${outputPath}" and run the command again, which then only checks it.`,
      { cause: error },
    );
  if (error instanceof RequestError)
    return new LipsyncError(error.code, `${hostOf(file)}: ${error.explanation}`, { cause: error });
  if (!LipsyncError.isInstance(error) || error.code !== 'payload_too_large') return error;
  return new LipsyncError(
    'model_invalid',
    `The file at ${hostOf(file)} is larger than the recorded ${file.bytes} bytes. Nothing was kept.`,
    { cause: error },
  );
}

/** The address is that of the manifest, so the network is at fault. */
const offlineReasons: ReadonlySet<RequestFailure> = new Set(['unknown_host', 'unreachable']);

function hostOf({ url }: RemoteFile): string {
  return URL.parse(url)?.host ?? url;
}

function storageOf(folder: string) {
  return { path: folder, alternative: 'name another folder with --folder' };
}

function storageErrors(folder: string): <Result>(step: () => Promise<Result>) => Promise<Result> {
  return async (step) => {
    try {
      return await step();
    } catch (error) {
      throw toStorageError(error, storageOf(folder));
    }
  };
}
