import { randomBytes } from 'node:crypto';
import { AssetStore } from './assets/asset-store.ts';
import { MediaLibrary } from './assets/media-library.ts';
import { FaultRules } from './faults/fault-rules.ts';
import { IdempotencyStore } from './http/idempotency.ts';
import { RequestLog } from './http/request-log.ts';
import { SignedLinks } from './http/signed-links.ts';
import { Operations, type Operation } from './lipsyncs/operation.ts';
import { Wallet } from './lipsyncs/wallet.ts';
import { createVideoLink } from './routes/download-routes.ts';
import { LiveSettings, type StandinSettings } from './settings.ts';
import { WebhookSender } from './webhook-sender.ts';

export interface HeygenStandinOptions {
  /** 0, the default, selects a free port. */
  readonly port?: number;
  /** The key that API calls need; random by default. */
  readonly apiKey?: string;
  /** Signs webhooks; random by default. */
  readonly webhookSecret?: string;
  /** Opening balance of the wallet in millionths of a US dollar; 1000 USD by default. */
  readonly balanceMicros?: number;
  /** Serves downloads from another origin: the same address with another port. */
  readonly separateDownloadOrigin?: boolean;
  readonly settings?: Partial<StandinSettings>;
  /** Milliseconds since 1970; tests replace the clock. */
  readonly now?: () => number;
}

/** The state of a stand-in, which routes and control share. */
export interface StandinParts {
  readonly apiKey: string;
  readonly webhookSecret: string;
  readonly openingBalanceMicros: number;
  readonly now: () => number;
  /** Aborts when the stand-in closes. */
  readonly signal: AbortSignal;
  readonly settings: LiveSettings;
  readonly faults: FaultRules;
  readonly log: RequestLog;
  readonly idempotency: IdempotencyStore;
  readonly links: SignedLinks;
  readonly assets: AssetStore;
  readonly media: MediaLibrary;
  readonly operations: Operations;
  readonly wallet: Wallet;
  readonly webhooks: WebhookSender;
  readonly onEnd: (operation: Operation) => void;
  /** Origins of signed links; known only once the servers listen. */
  readonly storageOrigin: () => string;
  readonly downloadOrigin: () => string;
}

const defaultBalanceMicros = 1_000_000_000;

/** Creates the state of a stand-in in an existing empty folder. Throws a ZodError for invalid settings. */
export async function createParts(
  options: HeygenStandinOptions,
  host: Pick<StandinParts, 'signal' | 'storageOrigin' | 'downloadOrigin'> & { readonly folder: string },
): Promise<StandinParts> {
  const { folder, signal, storageOrigin, downloadOrigin } = host;
  const now = options.now ?? Date.now;
  const openingBalanceMicros = options.balanceMicros ?? defaultBalanceMicros;
  const webhookSecret = options.webhookSecret ?? `whsec_${randomBytes(16).toString('hex')}`;
  const operations = new Operations(now);
  signal.addEventListener('abort', () => operations.clear(), { once: true });
  const settings = new LiveSettings(options.settings ?? {}, () =>
    operations.all().forEach((operation) => operation.nudge()),
  );
  const links = new SignedLinks(now);
  const webhooks = new WebhookSender({
    settings,
    secret: webhookSecret,
    now,
    signal,
    createVideoLink: ({ id }) => createVideoLink(id, { links, settings, downloadOrigin }),
  });
  return {
    apiKey: options.apiKey ?? `sk_V2_${randomBytes(16).toString('hex')}`,
    webhookSecret,
    openingBalanceMicros,
    now,
    signal,
    settings,
    faults: new FaultRules(),
    log: new RequestLog(),
    idempotency: new IdempotencyStore(now),
    links,
    assets: new AssetStore(now),
    media: await MediaLibrary.create(folder, signal),
    operations,
    wallet: new Wallet(openingBalanceMicros),
    webhooks,
    onEnd: (operation) => void webhooks.send(operation),
    storageOrigin,
    downloadOrigin,
  };
}
