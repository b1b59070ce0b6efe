import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StorageError, toStorageError } from '../errors/index.ts';
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
 * creates both, readable by this user only; a signer's certificate is replaced after a year, and 30 days before its
 * end. Safe when several processes call it at once: the identity that exists first counts for all. Throws a
 * `StorageError` that names the file, its fault and the remedy.
 */
export async function localIdentityIn(folder: string, nowMs: number): Promise<SigningIdentity> {
  const path = join(folder, signerFile);
  const existing = await readIdentity(path);
  if (existing) refuseEarlyClock(path, existing, nowMs);
  if (existing && !isDue(existing, nowMs)) return existing;
  try {
    await (existing ? renewSigner(folder, nowMs) : createIdentity(folder, nowMs));
  } catch (error) {
    throw toStorageError(error, { path: folder, alternative: 'set LIPSYNC_DATA_DIR to another folder' });
  }
  const created = await readIdentity(path);
  if (!created) throw unfitFile(path, 'is missing');
  return created;
}

/** Returns the certificate of the local authority, as PEM; undefined before it was made. Throws a `StorageError`. */
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
  if (!authority) throw unfitFile(join(folder, authorityFile), 'is missing');
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
    throw unfitFile(
      path,
      `cannot be read (${errnoCode(error)})`,
      'Make it readable for the user of the service',
      error,
    );
  });
  if (text === undefined) return undefined;
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  const [privateKey, ...certificates] = blocks;
  const isWhole = privateKey !== undefined && certificates.length > 0;
  if (!isWhole || !isPair(privateKey, certificates[0])) throw unfitFile(path, 'is damaged');
  return { privateKey, certificates };
}

function isPair(privateKey: string, certificate = ''): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    return false;
  }
}

/** Readers refuse a mark that is older than its certificate. */
function refuseEarlyClock(path: string, { certificates: [own = ''] }: SigningIdentity, nowMs: number): void {
  const startMs = Date.parse(new X509Certificate(own).validFrom);
  if (nowMs >= startMs) return;
  const [start, now] = [startMs, nowMs].map((timeMs) => new Date(timeMs).toISOString());
  throw unfitFile(path, `has a certificate that is valid from ${start} on, and it is ${now}`, 'Check the clock');
}

const restoring = 'Restore it from the backup, or remove its folder so that a new authority is made';

function unfitFile(path: string, fault: string, remedy = restoring, cause?: unknown): StorageError {
  return new StorageError('storage_unwritable', dirname(path), `The file "${path}" ${fault}. ${remedy}.`, cause);
}

function isDue({ certificates: [own = ''] }: SigningIdentity, nowMs: number): boolean {
  const { validFrom, validTo } = new X509Certificate(own);
  return nowMs - Date.parse(validFrom) > usageDays * dayMs || Date.parse(validTo) - nowMs < renewalDays * dayMs;
}
