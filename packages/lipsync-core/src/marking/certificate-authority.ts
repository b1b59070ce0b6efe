// oxlint-disable-next-line import/no-unassigned-import -- the certificate library needs it before it is loaded
import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { SigningIdentity } from './cose-signature.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;
const authorityDays = 20 * 365;
/** Without a time stamp of an authority, a mark is valid as long as the certificate that made it. */
const signerDays = 10 * 365;

/** Clocks of machines that share the folder may differ. */
const clockSkewMs = 3_600_000;

/** Purpose "e-mail protection", which C2PA 2.2 accepts for a signer (section 14.5.1). */
const emailProtection = '1.3.6.1.5.5.7.3.4';

/** Creates a certificate authority of this installation. */
export async function createAuthority(nowMs: number): Promise<SigningIdentity> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `O=Lipsync, CN=Lipsync local authority ${randomBytes(4).toString('hex')}`,
      serialNumber: newSerialNumber(),
      notBefore: new Date(nowMs - clockSkewMs),
      notAfter: new Date(nowMs + authorityDays * dayMs),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    crypto,
  );
  return { privateKey: await toPem(keys.privateKey), certificates: [certificate.toString('pem')] };
}

/** Creates a key that signs outputs, with a certificate of `authority`. */
export async function createSigner(authority: SigningIdentity, nowMs: number): Promise<SigningIdentity> {
  const issuer = new x509.X509Certificate(authority.certificates[0] ?? '');
  const der = x509.PemConverter.decodeFirst(authority.privateKey);
  const signingKey = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: 'O=Lipsync, CN=Lipsync output',
      issuer: issuer.subject,
      serialNumber: newSerialNumber(),
      notBefore: new Date(nowMs - clockSkewMs),
      notAfter: new Date(Math.min(nowMs + signerDays * dayMs, issuer.notAfter.getTime())),
      publicKey,
      signingKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([emailProtection]),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ],
    },
    crypto,
  );
  return { privateKey: await toPem(privateKey), certificates: [certificate.toString('pem')] };
}

/** Positive, and random so that no two certificates of an authority share it. */
function newSerialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

async function toPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
