import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoCode } from '../errors/system-error.ts';
import { createFolder } from '../processes/workspace.ts';
import { partPathFor, renameDurably, syncFile } from '../storage/durable-files.ts';
import type { SigningIdentity } from './cose-signature.ts';

const dayMs = 86_400_000;
/** After this time, another key signs. The certificate stays valid for years, and with it what its key has signed. */
const usageDays = 365;
/** A certificate is renewed this long before it expires, also in its first year: that of the authority may end. */
const renewalDays = 30;

/**
 * Returns the signing identity in `folder`: a key with a certificate of a local certificate authority. The first call
 * creates both, readable by this user only; a signer's certificate is replaced after a year, and 30 days before its end. Safe when
 * several processes call it at once: the identity that exists first counts for all. Throws the error of the file system.
 */
export async function localIdentityIn(folder: string, nowMs: number): Promise<SigningIdentity> {
  const existing = await readIdentity(join(folder, signerFile));
  if (existing && !isDue(existing, nowMs)) return existing;
  if (!existing) await createIdentity(folder, nowMs);
  else await renewSigner(folder, nowMs);
  const created = await readIdentity(join(folder, signerFile));
  if (!created) throw new Error(`${join(folder, signerFile)} disappeared.`);
  return created;
}

/** Returns the certificate of the local authority, as PEM; undefined before it was made. */
export async function localAuthorityIn(folder: string): Promise<string | undefined> {
  const authority = await readIdentity(join(folder, authorityFile));
  return authority?.certificates[0];
}

const signerFile = 'signer.pem';
const authorityFile = 'authority.pem';

/** Creates the folder with both files at once: a rename onto a folder that another process has created fails. */
async function createIdentity(folder: string, nowMs: number): Promise<void> {
  await createFolder(dirname(folder));
  const partPath = partPathFor(folder);
  await mkdir(partPath, { mode: 0o700 });
  try {
    const { createAuthority, createSigner } = await import('./certificate-authority.ts');
    const authority = await createAuthority(nowMs);
    await writeIdentity(join(partPath, authorityFile), authority);
    await writeIdentity(join(partPath, signerFile), await createSigner(authority, nowMs));
    await rename(partPath, folder);
    await syncFile(dirname(folder));
  } catch (error) {
    // Another process was first: its authority counts.
    if (!['ENOTEMPTY', 'EEXIST'].includes(errnoCode(error) ?? '')) throw error;
  } finally {
    await rm(partPath, { recursive: true, force: true });
  }
}

/** The old certificate stays valid until its end. Two processes may renew at once; each certificate is a good one. */
async function renewSigner(folder: string, nowMs: number): Promise<void> {
  const authority = await readIdentity(join(folder, authorityFile));
  if (!authority) throw new Error(`${join(folder, authorityFile)} is missing.`);
  const { createSigner } = await import('./certificate-authority.ts');
  const path = join(folder, signerFile);
  const partPath = partPathFor(path);
  try {
    await writeIdentity(partPath, await createSigner(authority, nowMs));
    await renameDurably(partPath, path);
  } finally {
    await rm(partPath, { force: true });
  }
}

async function writeIdentity(path: string, { privateKey, certificates }: SigningIdentity): Promise<void> {
  await writeFile(path, `${[privateKey, ...certificates].join('\n')}\n`, { mode: 0o600, flag: 'wx' });
  await chmod(path, 0o600);
  await syncFile(path);
}

async function readIdentity(path: string): Promise<SigningIdentity | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  const [privateKey, ...certificates] = blocks;
  if (privateKey === undefined || certificates.length === 0) throw new Error(`${path} is damaged.`);
  return { privateKey, certificates };
}

function isDue({ certificates: [own = ''] }: SigningIdentity, nowMs: number): boolean {
  const { validFrom, validTo } = new X509Certificate(own);
  return nowMs - Date.parse(validFrom) > usageDays * dayMs || Date.parse(validTo) - nowMs < renewalDays * dayMs;
}
