import type { StandinSettings } from './settings.ts';

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
