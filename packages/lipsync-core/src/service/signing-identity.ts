import { join } from 'node:path';
import type { CoreConfig } from '../config/core-config.ts';
import { toLipsyncError } from '../errors/index.ts';
import type { SigningIdentity } from '../marking/cose-signature.ts';
import { localAuthorityIn, localIdentityIn } from '../marking/local-certificates.ts';
import { expiryWarning, ownIdentityOf } from '../marking/own-certificate.ts';

type SigningConfig = Pick<CoreConfig, 'dataDir' | 'marking'>;

/** Returns what signs outputs: the operator's own key, or the local one. Throws `request_invalid` for an unfit key. */
export function signingIdentityOf(config: SigningConfig, nowMs: number): Promise<SigningIdentity> {
  const { certificate: own } = config.marking;
  return own ? ownIdentityOf(own, nowMs) : localIdentityIn(markingFolderOf(config), nowMs);
}

/**
 * Returns the certificates of the authorities that this installation trusts, as PEM. Throws a `StorageError` if that of
 * the local one cannot be read: its outputs would be reported as those of a stranger.
 */
export async function listTrustedAuthorities(config: SigningConfig, nowMs: number): Promise<readonly string[]> {
  const local = await localAuthorityIn(markingFolderOf(config));
  const { certificate } = config.marking;
  const own = certificate && (await ownIdentityOf(certificate, nowMs).catch(() => null));
  return [...(local === undefined ? [] : [local]), ...(own ? own.certificates.slice(1) : [])];
}

/**
 * For the start of a service: makes the local certificates, and returns warnings about the one that signs. Throws
 * `request_invalid` for a key or certificate of the operator that cannot sign.
 */
export async function checkMarking(config: SigningConfig, nowMs: number): Promise<readonly string[]> {
  const { certificate, isEnabled } = config.marking;
  if (!isEnabled) return [];
  if (!certificate) {
    const fault = await signingIdentityOf(config, nowMs).then(
      () => undefined,
      (error: unknown) => toLipsyncError(error).message,
    );
    return fault === undefined ? [] : [`Outputs cannot be marked. ${fault}`];
  }
  const warning = expiryWarning(await ownIdentityOf(certificate, nowMs), nowMs);
  return warning === undefined ? [] : [warning];
}

function markingFolderOf({ dataDir }: Pick<CoreConfig, 'dataDir'>): string {
  return join(dataDir, 'marking');
}
