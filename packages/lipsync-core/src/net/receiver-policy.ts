import { setTimeout as delay } from 'node:timers/promises';
import type { AllowedPrivateHosts } from './allowed-hosts.ts';
import { untilAborted } from './guarded-client.ts';
import { RequestError } from './request-errors.ts';
import { resolveHostAddresses, resolveWithSystem, type ResolveHost } from './resolve-host.ts';
import { checkUrl } from './url-policy.ts';

const resolveLimitMs = 2_000;
/** A lookup that is given up still occupies the resolver of the system, which does two at a time. */
const maxLookups = 32;
const busyPauseMs = 50;
let lookups = 0;

/**
 * Checks the URL of a receiver that is called later: as `checkUrl`, and its host must have public addresses now. Throws
 * `url_forbidden` and `request_invalid`. A resolver that is slow, busy or fails at the moment decides nothing, because
 * every call is checked again.
 */
export async function checkReceiver(
  text: string,
  allowed: AllowedPrivateHosts,
  resolveHost: ResolveHost = resolveWithSystem,
): Promise<void> {
  const url = checkUrl(text, allowed);
  const limit = AbortSignal.timeout(resolveLimitMs);
  while (lookups >= maxLookups) {
    if (limit.aborted) return;
    await delay(busyPauseMs);
  }
  lookups += 1;
  const resolving = resolveHostAddresses(url, allowed, resolveHost).finally(() => (lookups -= 1));
  await untilAborted(resolving, limit).catch((error: unknown) => {
    if (limit.aborted || (error instanceof RequestError && error.retryable)) return;
    throw error;
  });
}
