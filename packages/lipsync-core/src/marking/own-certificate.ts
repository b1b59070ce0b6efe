import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import type { SigningIdentity } from './cose-signature.ts';

/** Files of an operator's own signing key and certificate chain, as PEM. */
export interface CertificateFiles {
  readonly keyPath: string;
  readonly certificatePath: string;
}

const dayMs = 86_400_000;
const warningDays = 30;

/** Purposes that C2PA accepts for a signer: e-mail protection, document signing, C2PA claim signing. */
const signerPurposes: ReadonlySet<string> = new Set([
  '1.3.6.1.5.5.7.3.4',
  '1.3.6.1.5.5.7.3.36',
  '1.3.6.1.4.1.62558.2.1',
]);

/** Reads and checks the files. Throws `request_invalid` that names the setting, the fault and the remedy. */
export async function ownIdentityOf(
  { keyPath, certificatePath }: CertificateFiles,
  nowMs: number,
): Promise<SigningIdentity> {
  const privateKey = await readText('LIPSYNC_MARKING_KEY_PATH', keyPath);
  const chain = await readText('LIPSYNC_MARKING_CERTIFICATE_PATH', certificatePath);
  const certificates = chain.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  const [own = ''] = certificates;
  const key = readKey(privateKey, keyPath);
  const certificate = readCertificate(own, certificatePath);
  const refuse = (fault: string): LipsyncError =>
    new LipsyncError('request_invalid', `LIPSYNC_MARKING_CERTIFICATE_PATH: ${certificatePath} ${fault}`);
  if (!certificate.checkPrivateKey(key))
    throw refuse('does not match the key of LIPSYNC_MARKING_KEY_PATH. Use the files that belong together.');
  if (certificate.ca || certificate.checkIssued(certificate))
    throw refuse('begins with the certificate of an authority, or a self-signed one. Put that of the signer first.');
  if (!certificate.keyUsage?.some((purpose) => signerPurposes.has(purpose)))
    throw refuse('is not for signing content: it needs the extended key usage emailProtection or documentSigning.');
  const [startMs, endMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (nowMs > endMs) throw refuse(`has expired on ${dateOf(endMs)}. Renew it, then start again.`);
  if (nowMs < startMs) throw refuse(`is valid from ${dateOf(startMs)} on. Check the clock of this machine.`);
  return { privateKey, certificates };
}

/** A warning if the certificate expires within 30 days. */
export function expiryWarning({ certificates: [own = ''] }: SigningIdentity, nowMs: number): string | undefined {
  const endMs = Date.parse(new X509Certificate(own).validTo);
  if (endMs - nowMs > warningDays * dayMs) return undefined;
  const expiry = `The certificate of LIPSYNC_MARKING_CERTIFICATE_PATH expires on ${dateOf(endMs)}.`;
  return `${expiry} Renew it before then, or outputs are no longer marked.`;
}

async function readText(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const reason = errnoCode(cause) === 'ENOENT' ? 'does not exist' : `cannot be read (${errnoCode(cause)})`;
    throw new LipsyncError('request_invalid', `${setting}: ${path} ${reason}.`, { cause });
  }
}

function readKey(pem: string, path: string): KeyObject {
  const refuse = (fault: string, cause?: unknown): LipsyncError =>
    new LipsyncError('request_invalid', `LIPSYNC_MARKING_KEY_PATH: ${path} ${fault}`, { cause });
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw refuse('is no private key in PEM without a password.', cause);
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw refuse('is of another kind: an elliptic curve key on P-256 (ES256) is needed.');
  return key;
}

function readCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new LipsyncError('request_invalid', `LIPSYNC_MARKING_CERTIFICATE_PATH: ${path} has no certificate in PEM.`, {
      cause,
    });
  }
}

function dateOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
