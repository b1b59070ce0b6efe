import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, createDownloadApp } from './app.ts';
import { createControl, type StandinControl } from './control.ts';
import { listen, type ListeningServer } from './http/server.ts';
import type { HeygenStandinOptions } from './options.ts';
import { wireStandin } from './wiring.ts';

export interface HeygenStandin {
  /** Origin of the API, e.g. http://127.0.0.1:4010. */
  readonly url: string;
  /** Origin of downloads; the same unless they have one of their own. */
  readonly downloadUrl: string;
  readonly apiKey: string;
  readonly webhookSecret: string;
  readonly control: StandinControl;
  /** Stops listening, ends all work, deletes the files. */
  close(): Promise<void>;
}

/**
 * Starts a HeyGen v3 API on this machine's own address. Needs ffmpeg and ffprobe. Whoever starts it closes it.
 * Throws a ZodError for settings that cannot be and the system's error when the port is taken; nothing is left then.
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
    // A program that is being killed may still write.
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const dependencies = await wireStandin(options, { folder, signal: closing.signal, storageOrigin, downloadOrigin });
    const control = createControl(dependencies);
    servers.push(await listen(createApp(dependencies, control), options.port ?? 0));
    if (options.separateDownloadOrigin === true) servers.push(await listen(createDownloadApp(dependencies), 0));
    const { apiKey, webhookSecret } = dependencies;
    return { url: storageOrigin(), downloadUrl: downloadOrigin(), apiKey, webhookSecret, control, close };
  } catch (error) {
    await close();
    throw error;
  }
}
