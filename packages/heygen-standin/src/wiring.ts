import { randomBytes } from 'node:crypto';
import type { AppDependencies } from './app.ts';
import { createAssetStore } from './assets/asset-store.ts';
import { createMediaLibrary } from './assets/media-library.ts';
import { createFaultRules } from './faults/fault-rules.ts';
import { createIdempotencyStore } from './http/idempotency.ts';
import { createRequestLog } from './http/request-log.ts';
import { createSignedLinks } from './links/signed-links.ts';
import type { Operation } from './lipsyncs/operation.ts';
import { createOperations } from './lipsyncs/operations.ts';
import { createWallet } from './lipsyncs/wallet.ts';
import type { HeygenStandinOptions } from './options.ts';
import { videoLink } from './routes/download-route.ts';
import { createLiveSettings } from './settings.ts';
import { createWebhookSender } from './webhooks/webhook-sender.ts';

export interface Surroundings {
  /** Where files are kept; whoever made it deletes it. */
  readonly folder: string;
  /** Ends all work when it aborts. */
  readonly signal: AbortSignal;
  /** Known only once the servers listen. */
  readonly storageOrigin: () => string;
  readonly downloadOrigin: () => string;
}

/** The parts of a stand-in, before it listens. Throws a ZodError for settings that cannot be. */
export async function wireStandin(
  options: HeygenStandinOptions,
  { folder, signal, storageOrigin, downloadOrigin }: Surroundings,
): Promise<AppDependencies> {
  const { now, openingBalanceMicros, apiKey, webhookSecret } = withDefaults(options);
  const operations = createOperations(now);
  signal.addEventListener('abort', () => operations.clear(), { once: true });
  const settings = createLiveSettings(options.settings ?? {}, () =>
    operations.all().forEach((operation) => operation.nudge()),
  );
  const links = createSignedLinks(now);
  const linkTo = ({ id }: Operation): string => videoLink(id, downloadOrigin(), links, settings.current);
  const webhooks = createWebhookSender({ settings, secret: webhookSecret, now, linkTo, signal });
  return {
    apiKey,
    webhookSecret,
    openingBalanceMicros,
    now,
    signal,
    operations,
    settings,
    links,
    webhooks,
    faults: createFaultRules(),
    idempotency: createIdempotencyStore(now),
    assets: createAssetStore(now),
    media: await createMediaLibrary(folder, signal),
    wallet: createWallet(openingBalanceMicros),
    log: createRequestLog(),
    onEnd: (operation) => void webhooks.send(operation),
    storageOrigin,
    downloadOrigin,
  };
}

const defaultBalanceMicros = 1_000_000_000;

function withDefaults(options: HeygenStandinOptions) {
  return {
    now: options.now ?? Date.now,
    openingBalanceMicros: options.balanceMicros ?? defaultBalanceMicros,
    apiKey: options.apiKey ?? `sk_V2_${randomBytes(16).toString('hex')}`,
    webhookSecret: options.webhookSecret ?? `whsec_${randomBytes(16).toString('hex')}`,
  };
}
