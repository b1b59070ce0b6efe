import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { localAuthorityIn, localIdentityIn } from '../../src/marking/local-certificates.ts';
import { temporaryFolder } from '../media/make-media.ts';

const dayMs = 86_400_000;
const nowMs = Date.parse('2026-11-29T12:00:00Z');

describe('The local certificates', () => {
  it('Processes that start at once share one authority and one signer, and leave no partial file.', async () => {
    const root = await temporaryFolder();
    const folder = join(root, 'marking');
    const children = Array.from({ length: 4 }, () => fork(join(import.meta.dirname, 'identity-program.ts'), [folder]));
    const answers = await Promise.all(children.map((child) => once(child, 'message')));
    expect(new Set(answers.map(([certificate]) => certificate)).size).toBe(1);
    expect(await readdir(root)).toEqual(['marking']);
  });

  it.each([
    ['is no PEM', async (path: string) => writeFile(path, 'text'), /is damaged.* Restore it from the backup/],
    ['has the key of another certificate', useOtherKey, /is damaged/],
    ['cannot be read', replaceByFolder, /cannot be read \(EISDIR\)/],
  ])('A file that %s is named with the remedy.', async (_, spoil, message) => {
    const folder = join(await temporaryFolder(), 'marking');
    await localIdentityIn(folder, nowMs);
    for (const name of ['signer.pem', 'authority.pem']) await spoil(join(folder, name));
    const refused = { code: 'storage_unwritable', message: expect.stringMatching(message) };
    await expect(localIdentityIn(folder, nowMs)).rejects.toMatchObject(refused);
    await expect(localAuthorityIn(folder)).rejects.toMatchObject(refused);
  });

  it('A clock before the start of the certificate is refused, because each reader would refuse the mark.', async () => {
    const folder = join(await temporaryFolder(), 'marking');
    await localIdentityIn(folder, nowMs);
    const message = expect.stringMatching(
      /valid from 2026-11-29T11:00:00.000Z on, and it is 2026-11-28.* Check the clock/,
    );
    await expect(localIdentityIn(folder, nowMs - dayMs)).rejects.toMatchObject({ message });
  });

  it('No other user can read the keys.', async () => {
    const folder = join(await temporaryFolder(), 'marking');
    await localIdentityIn(folder, nowMs);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
  });

  it('After a year another key signs, by the same authority, and the first certificate stays valid for years.', async () => {
    const folder = join(await temporaryFolder(), 'marking');
    const first = await localIdentityIn(folder, nowMs);
    expect(await localIdentityIn(folder, nowMs + 364 * dayMs)).toEqual(first);
    const authority = await localAuthorityIn(folder);
    const renewed = await localIdentityIn(folder, nowMs + 366 * dayMs);
    const end = Date.parse(new X509Certificate(first.certificates[0] ?? '').validTo);
    expect(end - nowMs).toBeGreaterThan(9 * 365 * dayMs);
    expect(renewed.privateKey).not.toBe(first.privateKey);
    expect(await localAuthorityIn(folder)).toBe(authority);
    const issuer = new X509Certificate(authority ?? '');
    expect(new X509Certificate(renewed.certificates[0] ?? '').verify(issuer.publicKey)).toBe(true);
    expect(await readFile(join(folder, 'signer.pem'), 'utf8')).toContain(renewed.privateKey);
  });
});

async function useOtherKey(path: string): Promise<void> {
  const other = join(await temporaryFolder(), 'marking');
  const { privateKey } = await localIdentityIn(other, nowMs);
  const pem = await readFile(path, 'utf8');
  await writeFile(path, `${privateKey}\n${pem.slice(pem.indexOf('-----BEGIN CERTIFICATE'))}`);
}

async function replaceByFolder(path: string): Promise<void> {
  await rm(path);
  await mkdir(path);
}
