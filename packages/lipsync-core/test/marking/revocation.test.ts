import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encode } from 'cborg';
import { expect, it } from 'vitest';
import { blobOfBytes, loadC2pa } from '../../src/marking/c2pa-library.ts';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { markOutputTask } from '../../src/marking/mark-output-task.ts';
import { parseOrigin } from '../../src/marking/parse-origin.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { makeMedia, temporaryFolder, x264 } from '../media/make-media.ts';

const resources = new RenderResources();

/** The answer of the authority about the certificate of a signer (OCSP). */
async function statusOf(folder: string, authority: SigningIdentity, signer: SigningIdentity, revoked: boolean) {
  const [leaf = ''] = signer.certificates;
  const { serialNumber } = new X509Certificate(leaf);
  const row = [revoked ? 'R' : 'V', '360101000000Z', revoked ? '261101000000Z' : '', serialNumber, 'unknown', '/CN=x'];
  await writeFile(join(folder, 'index.txt'), `${row.join('\t')}\n`);
  await writeFile(join(folder, 'ca.pem'), authority.certificates[0] ?? '');
  await writeFile(join(folder, 'ca.key'), authority.privateKey);
  await writeFile(join(folder, 'leaf.pem'), leaf);
  const responder = ['-index', 'index.txt', '-rsigner', 'ca.pem', '-rkey', 'ca.key', '-CA', 'ca.pem', '-ndays', '30'];
  const request = ['-issuer', 'ca.pem', '-cert', 'leaf.pem', '-respout', 'status'];
  await promisify(execFile)('openssl', ['ocsp', ...responder, ...request], { cwd: folder });
  return readFile(join(folder, 'status'));
}

/** Replaces a part of the padding, which no signature covers, by the answer. */
function withStatus(file: Buffer, status: Buffer): Buffer {
  const padded = Buffer.concat([Buffer.from([0xa1]), encode('pad')]);
  const start = file.indexOf(padded);
  const end = start + padded.length + 3 + file.readUInt16BE(start + padded.length + 1);
  const values = encode({ ocspVals: [Uint8Array.from(status)] });
  const head = Buffer.concat([Buffer.from([0xa2]), encode('rVals'), values, encode('pad')]);
  const rest = encode(new Uint8Array(end - start - head.length - 3));
  const changed = Buffer.from(file);
  Buffer.concat([head, rest]).copy(changed, start);
  return changed;
}

it('A manifest whose certificate is revoked, by the answer that it carries, is invalid with the reason.', async () => {
  const folder = await temporaryFolder();
  const [authority, targetPath] = [await createAuthority(Date.now()), join(folder, 'marked.mp4')];
  const identity = await createSigner(authority, Date.now());
  const sourcePath = await makeMedia('-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', ...x264, join(folder, 'take.mp4'));
  const facts = { id: 'id', markedAt: new Date().toISOString(), provider: 'p', modelDigest: null, version: '1' };
  // A stamp that is not available leaves room.
  const options = { withXmp: true, aigcProducer: null, timeStampAuthority: { url: 'http://127.0.0.1:1/' } };
  const { signal } = new AbortController();
  await markOutputTask(
    { sourcePath, targetPath, clipPath: null, speechPath: null, facts, identity, ...options },
    { signal, resources, onProgress: () => undefined },
  );
  const { Reader } = await resources.get(loadC2pa);
  const settings = JSON.stringify({ trust: { user_anchors: authority.certificates[0] } });
  const read = async (isRevoked: boolean) => {
    const file = withStatus(await readFile(targetPath), await statusOf(folder, authority, identity, isRevoked));
    return parseOrigin(JSON.parse((await Reader.fromBlob('video/mp4', blobOfBytes(file), settings)).json()));
  };
  expect(await read(false)).toMatchObject({ state: 'valid', trusted: true });
  expect(await read(true)).toMatchObject({ state: 'invalid', reason: 'The certificate of the signer is revoked.' });
});
