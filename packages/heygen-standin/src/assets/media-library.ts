import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { probeMedia, type MediaFacts } from '../media/probe.ts';
import { renderMarked } from '../media/render.ts';
import type { ReceivedFile } from './receive-file.ts';

/** As many as leave a small machine something for whoever is being tested. */
const rendersAtOnce = 2;

export type MediaFile = Pick<ReceivedFile, 'path' | 'sha256'>;

export interface RenderOrder {
  readonly video: MediaFile;
  readonly audio: MediaFile;
  readonly durationMs: number;
  readonly keepSize: boolean;
}

export interface MediaLibrary {
  /** A path for a file to receive, which nobody else has. */
  newPath(): string;
  facts(file: MediaFile): Promise<MediaFacts>;
  /** The path of the video; one that was made before is given again. Throws what ffmpeg said, or the signal's error. */
  render(order: RenderOrder, signal: AbortSignal): Promise<string>;
  /** Deletes what was received. What was found out about a content, and made of it, stays for the next time. */
  clear(): Promise<void>;
}

/** Keeps files in `folder`, which it makes. */
export async function createMediaLibrary(folder: string, signal: AbortSignal): Promise<MediaLibrary> {
  const receivedDir = join(folder, 'received');
  const rendersDir = join(folder, 'renders');
  await mkdir(receivedDir, { recursive: true });
  await mkdir(rendersDir);
  const factsByDigest = new Map<string, MediaFacts>();
  const renders = new Map<string, string>();
  const limit = pLimit(rendersAtOnce);
  let files = 0;
  const nextName = (): string => String((files += 1));

  return {
    newPath: () => join(receivedDir, nextName()),
    async facts({ path, sha256 }) {
      const known = factsByDigest.get(sha256);
      if (known !== undefined) return known;
      const facts = await probeMedia(path, signal);
      // A file that could not be read may have been deleted meanwhile; its content may come again.
      if (facts.videoMs !== null || facts.audioMs !== null) factsByDigest.set(sha256, facts);
      return facts;
    },
    async render({ video, audio, durationMs, keepSize }, renderSignal) {
      const key = [video.sha256, audio.sha256, durationMs, keepSize].join(' ');
      return limit(async () => {
        renderSignal.throwIfAborted();
        const known = renders.get(key);
        if (known !== undefined) return known;
        const outputPath = join(rendersDir, nextName());
        await renderMarked(
          { videoPath: video.path, audioPath: audio.path, outputPath, durationMs, keepSize },
          renderSignal,
        );
        renders.set(key, outputPath);
        return outputPath;
      });
    },
    async clear() {
      await rm(receivedDir, { recursive: true, force: true });
      await mkdir(receivedDir);
    },
  };
}
