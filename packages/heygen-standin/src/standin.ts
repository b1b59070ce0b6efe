import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, createDownloadApp } from './app.ts';
import { StandinControl } from './control.ts';
import { listen, type ListeningServer } from './http/loopback-server.ts';
import { createParts, type HeygenStandinOptions } from './parts.ts';

export interface HeygenStandin {
  /** Origin of the API, e.g. http://127.0.0.1:4010. */
  readonly url: string;
  /** Origin of downloads; the same as `url` by default. */
  readonly downloadUrl: string;
  readonly apiKey: string;
  readonly webhookSecret: string;
  readonly control: StandinControl;
  /** Stops listening, ends all work and deletes the files. */
  close(): Promise<void>;
}

/**
 * Starts a local HeyGen v3 API. Needs ffmpeg and ffprobe. The caller closes it. Throws a ZodError for invalid settings
 * and the system's error when the port is in use, and then leaves nothing behind.
 */
export async function startHeygenStandin(options: HeygenStandinOptions = {}): Promise<HeygenStandin> {
  const folder = await mkdtemp(join(tmpdir(), 'heygen-standin-'));
  const closing = new AbortController();
  const servers: ListeningServer[] = [];
  const storageOrigin = (): string => servers[0]?.url ?? '';
  const downloadOrigin = (): string => servers.at(-1)?.url ?? '';
  const close = async (): Promise<void> => {
    closing.abort();
    await Promise.all(servers.map((server) => server.close()));
    // An ffmpeg process that is being killed may still write.
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const parts = await createParts(options, { folder, signal: closing.signal, storageOrigin, downloadOrigin });
    const control = new StandinControl(parts);
    servers.push(await listen(createApp(parts, control), options.port ?? 0));
    if (options.separateDownloadOrigin === true) servers.push(await listen(createDownloadApp(parts), 0));
    const { apiKey, webhookSecret } = parts;
    return { url: storageOrigin(), downloadUrl: downloadOrigin(), apiKey, webhookSecret, control, close };
  } catch (error) {
    await close();
    throw error;
  }
}
