import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { probeMedia, renderMarkedVideo, type MediaFacts } from '../media/ffmpeg.ts';
import { drawMovingMouth } from '../media/moving-mouth.ts';
import type { MouthMode } from '../settings.ts';
import type { ReceivedFile } from './receive-file.ts';

/** Leaves CPU time for the program under test on a small machine. */
const maxConcurrentRenders = 2;

export type MediaFile = Pick<ReceivedFile, 'path' | 'sha256'>;

export interface RenderInput {
  readonly video: MediaFile;
  readonly audio: MediaFile;
  readonly durationMs: number;
  readonly keepSize: boolean;
  readonly mouth: MouthMode;
}

/** Received files and rendered videos in one folder. Probes and renders each content once. */
export class MediaLibrary {
  readonly #receivedDir: string;
  readonly #rendersDir: string;
  readonly #drawingDir: string;
  readonly #signal: AbortSignal;
  readonly #factsByHash = new Map<string, MediaFacts>();
  readonly #renders = new Map<string, string>();
  readonly #limit = pLimit(maxConcurrentRenders);
  #fileCount = 0;

  private constructor(folder: string, signal: AbortSignal) {
    this.#receivedDir = join(folder, 'received');
    this.#rendersDir = join(folder, 'renders');
    this.#drawingDir = join(folder, 'drawing');
    this.#signal = signal;
  }

  /** Creates the library in an existing empty folder, which the caller deletes. The signal stops all probes. */
  static async create(folder: string, signal: AbortSignal): Promise<MediaLibrary> {
    const library = new MediaLibrary(folder, signal);
    await mkdir(library.#receivedDir, { recursive: true });
    await mkdir(library.#rendersDir);
    await mkdir(library.#drawingDir);
    return library;
  }

  /** Returns a unique path for a received file. */
  createPath(): string {
    return join(this.#receivedDir, this.#createName());
  }

  async readFacts({ path, sha256 }: MediaFile): Promise<MediaFacts> {
    const known = this.#factsByHash.get(sha256);
    if (known !== undefined) return known;
    const facts = await probeMedia(path, this.#signal);
    // Not stored without streams: the file may have been deleted meanwhile, and its content may be uploaded again.
    if (facts.videoMs !== null || facts.audioMs !== null) this.#factsByHash.set(sha256, facts);
    return facts;
  }

  /**
   * Returns the path of the rendered video. Throws the error of ffmpeg, `NoFaceError` when lips cannot be drawn, or the
   * reason of the aborted signal.
   */
  async render({ video, audio, durationMs, keepSize, mouth }: RenderInput, signal: AbortSignal): Promise<string> {
    const key = [video.sha256, audio.sha256, durationMs, keepSize, mouth].join(' ');
    return this.#limit(async () => {
      signal.throwIfAborted();
      const known = this.#renders.get(key);
      if (known !== undefined) return known;
      const outputPath = join(this.#rendersDir, this.#createName());
      const isDrawn = mouth === 'moving' || mouth === 'shifted';
      const drawnPath = `${outputPath}.drawn.mp4`;
      try {
        if (isDrawn)
          await drawMovingMouth(
            { videoPath: video.path, audioPath: audio.path, outputPath: drawnPath, workFolder: this.#drawingDir },
            signal,
          );
        const videoPath = isDrawn ? drawnPath : video.path;
        await renderMarkedVideo({ videoPath, audioPath: audio.path, outputPath, durationMs, keepSize, mouth }, signal);
      } finally {
        await rm(drawnPath, { force: true });
      }
      this.#renders.set(key, outputPath);
      return outputPath;
    });
  }

  /** Deletes received files; keeps facts and renders, which depend on the content only. */
  async clear(): Promise<void> {
    await rm(this.#receivedDir, { recursive: true, force: true });
    await mkdir(this.#receivedDir);
  }

  #createName(): string {
    this.#fileCount += 1;
    return String(this.#fileCount);
  }
}
