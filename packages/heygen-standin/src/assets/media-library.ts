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
  /** A path that nobody else has. */
  newPath(): string;
  facts(file: MediaFile): Promise<MediaFacts>;
  /** The path of the video; one that was made before is given again. Throws what ffmpeg said, or the signal's error. */
  render(order: RenderOrder, signal: AbortSignal): Promise<string>;
  /** Deletes every file. */
  clear(): Promise<void>;
}

/** Keeps files in `folder`, which it makes; what was found out about a content is kept, too. */
export async function createMediaLibrary(folder: string, signal: AbortSignal): Promise<MediaLibrary> {
  await mkdir(folder, { recursive: true });
  const factsByDigest = new Map<string, Promise<MediaFacts>>();
  const renders = new Map<string, string>();
  const limit = pLimit(rendersAtOnce);
  let files = 0;
  const newPath = (): string => join(folder, String((files += 1)));

  return {
    newPath,
    facts({ path, sha256 }) {
      const known = factsByDigest.get(sha256) ?? probeMedia(path, signal);
      factsByDigest.set(sha256, known);
      return known;
    },
    async render({ video, audio, durationMs, keepSize }, renderSignal) {
      const key = [video.sha256, audio.sha256, durationMs, keepSize].join(' ');
      return limit(async () => {
        renderSignal.throwIfAborted();
        const known = renders.get(key);
        if (known !== undefined) return known;
        const outputPath = newPath();
        await renderMarked({ videoPath: video.path, audioPath: audio.path, outputPath, durationMs, keepSize }, renderSignal);
        renders.set(key, outputPath);
        return outputPath;
      });
    },
    async clear() {
      factsByDigest.clear();
      renders.clear();
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
    },
  };
}
