import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, createDownloadApp, type AppDependencies } from './app.ts';
import { createAssetStore } from './assets/asset-store.ts';
import { createMediaLibrary } from './assets/media-library.ts';
import { createControl, type StandinControl } from './control.ts';
import { createFaultRules } from './faults/fault-rules.ts';
import { createIdempotencyStore } from './http/idempotency.ts';
import { createRequestLog } from './http/request-log.ts';
import { listen, type ListeningServer } from './http/server.ts';
import { createSignedLinks } from './links/signed-links.ts';
import type { Operation } from './lipsyncs/operation.ts';
import { createOperations } from './lipsyncs/operations.ts';
import { createWallet } from './lipsyncs/wallet.ts';
import { videoLink } from './routes/download-route.ts';
import { createLiveSettings, type StandinSettings } from './settings.ts';
import { createWebhookSender } from './webhooks/webhook-sender.ts';

export interface HeygenStandinOptions {
  /** 0, the default, is any free one. */
  readonly port?: number;
  /** The key that API calls need. Random by default. */
  readonly apiKey?: string;
  /** Signs webhooks. Random by default. */
  readonly webhookSecret?: string;
  /** What the wallet holds at first, in millionths of a dollar. 1000 dollars by default. */
  readonly balanceMicros?: number;
  /** Videos are then downloaded from another origin: the same address, a port of its own. */
  readonly separateDownloadOrigin?: boolean;
  readonly settings?: Partial<StandinSettings>;
  /** Milliseconds since 1970, for a clock that tests can turn. */
  readonly now?: () => number;
}

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

const defaultBalanceMicros = 1_000_000_000;

/** Starts a HeyGen v3 API on this machine's own address. Needs ffmpeg and ffprobe. Whoever starts it closes it. */
export async function startHeygenStandin(options: HeygenStandinOptions = {}): Promise<HeygenStandin> {
  const { now = Date.now, balanceMicros = defaultBalanceMicros } = options;
  const { apiKey = `sk_V2_${randomBytes(16).toString('hex')}`, webhookSecret = `whsec_${randomBytes(16).toString('hex')}` } = options;
  const folder = await mkdtemp(join(tmpdir(), 'heygen-standin-'));
  const closing = new AbortController();
  const servers: ListeningServer[] = [];
  const downloadOrigin = (): string => servers.at(-1)?.url ?? '';
  const operations = createOperations(now);
  const settings = createLiveSettings(options.settings ?? {}, () => operations.all().forEach((operation) => operation.nudge()));
  const links = createSignedLinks(now);
  const linkTo = ({ id }: Operation): string => videoLink(id, downloadOrigin(), links, settings.current);
  const webhooks = createWebhookSender({ settings, secret: webhookSecret, now, linkTo, signal: closing.signal });
  const dependencies: AppDependencies = {
    apiKey,
    now,
    operations,
    faults: createFaultRules(),
    idempotency: createIdempotencyStore(now),
    assets: createAssetStore(),
    media: await createMediaLibrary(join(folder, 'media'), closing.signal),
    settings,
    links,
    webhooks,
    wallet: createWallet(balanceMicros),
    log: createRequestLog(),
    signal: closing.signal,
    onEnd: (operation) => void webhooks.send(operation),
    storageOrigin: () => servers[0]?.url ?? '',
    downloadOrigin,
  };
  const control = createControl(dependencies, balanceMicros);
  const close = async (): Promise<void> => {
    closing.abort();
    operations.clear();
    await Promise.all(servers.map((server) => server.close()));
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    servers.push(await listen(createApp(dependencies, control), options.port ?? 0));
    if (options.separateDownloadOrigin === true) servers.push(await listen(createDownloadApp(dependencies), 0));
  } catch (error) {
    await close();
    throw error;
  }
  return { url: dependencies.storageOrigin(), downloadUrl: downloadOrigin(), apiKey, webhookSecret, control, close };
}
