import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { expiryWarning, ownIdentityOf } from '../../src/marking/own-certificate.ts';
import { temporaryFolder } from '../media/make-media.ts';

const dayMs = 86_400_000;
const nowMs = Date.parse('2026-11-29T12:00:00Z');
let authority: SigningIdentity;
let signer: SigningIdentity;

beforeAll(async () => {
  authority = await createAuthority(nowMs);
  signer = await createSigner(authority, nowMs);
});

async function read(change: Partial<Record<'key' | 'certificate', string>>, atMs = nowMs): Promise<SigningIdentity> {
  const folder = await temporaryFolder();
  const [keyPath, certificatePath] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await writeFile(keyPath, change.key ?? signer.privateKey);
  const chain = [...signer.certificates, ...authority.certificates].join('\n');
  await writeFile(certificatePath, change.certificate ?? chain);
  return ownIdentityOf({ keyPath, certificatePath }, atMs);
}

describe("An operator's own certificate", () => {
  it('Key and chain are used as they are.', async () => {
    expect((await read({})).certificates).toEqual([...signer.certificates, ...authority.certificates]);
  });

  it('Each fault is refused with the setting and the remedy.', async () => {
    const other = await createSigner(authority, nowMs);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const faults = [
      [() => read({ key: other.privateKey }), /does not match the key/],
      [() => read({ key: 'text' }), /LIPSYNC_MARKING_KEY_PATH: .* is no private key/],
      [() => read({ key: String(rsa) }), /P-256/],
      [() => read({ certificate: 'text' }), /has no certificate in PEM/],
      [() => read({ key: authority.privateKey, certificate: authority.certificates[0] ?? '' }), /of an authority/],
      [() => read({}, nowMs + 11 * 365 * dayMs), /has expired on 2036-/],
      [() => read({}, nowMs - dayMs), /Check the clock/],
      [() => ownIdentityOf({ keyPath: '/nothing/key.pem', certificatePath: '' }, nowMs), /does not exist/],
    ] as const;
    for (const [readFaulty, message] of faults)
      await expect(readFaulty()).rejects.toMatchObject({ code: 'request_invalid', message });
  });

  it('A certificate that expires within 30 days is warned of.', () => {
    const endMs = nowMs + 10 * 365 * dayMs;
    expect(expiryWarning(signer, endMs - 31 * dayMs)).toBeUndefined();
    expect(expiryWarning(signer, endMs - 29 * dayMs)).toMatch(/expires on 2036-11-2/);
  });
});
