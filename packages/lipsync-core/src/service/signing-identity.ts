import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { CoreConfig } from '../config/core-config.ts';
import { toLipsyncError } from '../errors/index.ts';
import type { SigningIdentity } from '../marking/cose-signature.ts';
import { localAuthorityIn, localIdentityIn } from '../marking/local-certificates.ts';
import { expiryWarning, ownIdentityOf } from '../marking/own-certificate.ts';
import type { DoctorCheck } from '../providers/definition.ts';

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

/** For `doctor`: what signs outputs, and until when. Makes no certificates. */
export async function diagnoseMarking(config: SigningConfig, nowMs: number): Promise<DoctorCheck> {
  const name = 'marking';
  const { certificate, isEnabled } = config.marking;
  if (!isEnabled)
    return {
      name,
      state: 'optional',
      detail: 'off: outputs carry no mark of their origin',
      advice: 'Set LIPSYNC_MARKING=on.',
    };
  try {
    if (!certificate && (await localAuthorityIn(markingFolderOf(config))) === undefined)
      return { name, state: 'ok', detail: 'the first start makes a local certificate authority', advice: '' };
    const identity = await signingIdentityOf(config, nowMs);
    const { subject, validTo } = new X509Certificate(identity.certificates[0] ?? '');
    const signer = subject.split('\n').toReversed().join(', ');
    const end = new Date(validTo).toISOString().slice(0, 10);
    const advice = (certificate && expiryWarning(identity, nowMs)) ?? '';
    return { name, state: 'ok', detail: `signed by ${signer} until ${end}`, advice };
  } catch (error) {
    return { name, state: 'missing', detail: 'outputs cannot be marked', advice: toLipsyncError(error).message };
  }
}

function markingFolderOf({ dataDir }: Pick<CoreConfig, 'dataDir'>): string {
  return join(dataDir, 'marking');
}
