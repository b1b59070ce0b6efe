import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { InputDownloader, type InputDownloaderOptions } from '../jobs/input-downloader.ts';
import type { InputFile, InputFiles } from '../jobs/input-fetcher.ts';
import type { InputField, InputReference } from '../jobs/job-record.ts';
import { toProgressUpdate, type ProgressUpdate } from '../jobs/progress-writer.ts';
import { deadlineExceeded } from '../jobs/stop-signal.ts';
import type { Workspace } from '../processes/workspace.ts';
import { hashFile } from '../storage/file-hash.ts';
import { LocalArtifactStore } from '../storage/index.ts';
import { isUrl, requireReadable } from './parse-input.ts';

export type LocalDownloadOptions = Omit<InputDownloaderOptions, 'artifacts'>;

/** Clip and speech of a job as files of this machine. */
export interface LocalInputs extends InputFiles {
  readonly video: InputFile;
  readonly audio: InputFile;
}

interface LocalInputPaths {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  readonly options: { readonly deadlineMs?: number | undefined };
}

interface LocalInputContext {
  /** Receives downloaded inputs; removed by the caller. */
  readonly workspace: Workspace;
  readonly downloads: LocalDownloadOptions;
  readonly signal: AbortSignal | undefined;
  onProgress(update: ProgressUpdate): void;
}

/** Returns how a record names an input. The record of a local job fetches nothing, so it holds no query of a URL. */
export function toInputReference(source: string): InputReference {
  return isUrl(source) ? { kind: 'url', url: source.replace(/[?#].*/s, '') } : { kind: 'file', path: resolve(source) };
}

/**
 * Reads the inputs of a job in this process, before it renders anything: files in place, URLs into the workspace.
 * Throws `InputNotFoundError`, `request_invalid`, `deadline_exceeded` and the errors of a download.
 */
export async function openLocalInputs(
  { videoPath, audioPath, outputPath, options: { deadlineMs } }: LocalInputPaths,
  { workspace, downloads, signal, onProgress }: LocalInputContext,
): Promise<LocalInputs> {
  // Files are checked before anything is downloaded.
  const clipFile = isUrl(videoPath) ? undefined : await requireReadable(videoPath, 'clip');
  const speechFile = isUrl(audioPath) ? undefined : await requireReadable(audioPath, 'speech');
  const deadline = new AbortController();
  const timer = deadlineMs === undefined ? undefined : setTimeout(() => deadline.abort(deadlineExceeded()), deadlineMs);
  const stop = AbortSignal.any([...(signal ? [signal] : []), deadline.signal]);
  try {
    if (!clipFile || !speechFile) onProgress(toProgressUpdate({ stage: 'fetching', fraction: 0 }));
    const context = { workspace, downloads, signal: stop };
    const clipPath = clipFile ?? (await downloadInput('video', videoPath, context));
    const speechPath = speechFile ?? (await downloadInput('audio', audioPath, context));
    await refuseInputAsOutput([clipPath, speechPath], resolve(outputPath));
    return {
      video: { path: clipPath, digest: (await hashFile(clipPath, stop)).sha256 },
      audio: { path: speechPath, digest: (await hashFile(speechPath, stop)).sha256 },
    };
  } finally {
    clearTimeout(timer);
  }
}

/** An input as a caller names it, and how errors name it. */
interface NamedInput {
  readonly field: InputField;
  /** Path or http(s) URL. */
  readonly source: string;
  readonly name: string;
}

/** Reads one input: a file in place, a URL into the workspace. Throws as `openLocalInputs`. */
export async function openLocalFile({ field, source, name }: NamedInput, context: DownloadContext): Promise<InputFile> {
  const path = isUrl(source) ? await downloadInput(field, source, context) : await requireReadable(source, name);
  return { path, digest: (await hashFile(path, context.signal)).sha256 };
}

type DownloadContext = Pick<LocalInputContext, 'workspace' | 'downloads'> & { readonly signal: AbortSignal };

/** Downloads one input into the workspace and returns its path. */
export async function downloadInput(
  field: InputField,
  url: string,
  { workspace, downloads, signal }: DownloadContext,
): Promise<string> {
  const artifacts = new LocalArtifactStore({ inputsDir: workspace.path, outputsDir: workspace.path });
  const downloader = new InputDownloader({ ...downloads, artifacts });
  const { key } = await downloader.download({ field, url, partPath: workspace.file(`${field}.part`) }, signal);
  const path = workspace.file(field);
  await artifacts.materialize(key, path, signal);
  return path;
}

/** Refuses an output that is an input under any name: replacing it would destroy the input. */
async function refuseInputAsOutput(inputPaths: readonly string[], outputPath: string): Promise<void> {
  const output = await realpath(outputPath).catch(() => outputPath);
  const inputs = await Promise.all(inputPaths.map((path) => realpath(path)));
  if (inputs.includes(output))
    throw new LipsyncError('request_invalid', 'The output would replace one of its own inputs. Choose another path.');
}
