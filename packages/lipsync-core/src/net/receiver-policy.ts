import type { AllowedPrivateHosts } from './allowed-hosts.ts';
import { untilAborted } from './guarded-client.ts';
import { RequestError } from './request-errors.ts';
import { resolveHostAddresses, resolveWithSystem, type ResolveHost } from './resolve-host.ts';
import { checkUrl } from './url-policy.ts';

const resolveLimitMs = 2_000;

/**
 * Checks the URL of a receiver that is called later: as `checkUrl`, and its host must have public addresses now. Throws
 * `url_forbidden` and `request_invalid`. A resolver that is slow or fails at the moment decides nothing, because every
 * call is checked again.
 */
export async function checkReceiver(
  text: string,
  allowed: AllowedPrivateHosts,
  resolveHost: ResolveHost = resolveWithSystem,
): Promise<void> {
  const url = checkUrl(text, allowed);
  const resolving = resolveHostAddresses(url, allowed, resolveHost);
  const limit = AbortSignal.timeout(resolveLimitMs);
  await untilAborted(resolving, limit).catch((error: unknown) => {
    if (limit.aborted || (error instanceof RequestError && error.retryable)) return;
    throw error;
  });
}
