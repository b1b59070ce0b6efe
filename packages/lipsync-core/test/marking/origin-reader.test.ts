import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { OriginReader } from '../../src/marking/origin-reader.ts';
import { parseOrigin } from '../../src/marking/parse-origin.ts';
import { temporaryFolder } from '../media/make-media.ts';
import { makeMarked } from './make-marked.ts';

const slow = { timeout: 120_000 } as const;
const { signal } = new AbortController();
const nowMs = Date.now();
let authority: SigningIdentity;
let reader: OriginReader;

beforeAll(async () => {
  authority = await createAuthority(nowMs);
  reader = new OriginReader({ listAuthorities: async () => authority.certificates });
});

async function makeOwn(): Promise<string> {
  return makeMarked(await temporaryFolder(), await createSigner(authority, nowMs));
}

describe('The origin of a file', slow, () => {
  it('A marked output is valid, with its signer, its actions and its ingredients.', async () => {
    expect(await reader.read(await makeOwn(), signal)).toMatchObject({
      state: 'valid',
      reason: null,
      signer: { name: 'Lipsync output', organization: 'Lipsync' },
      trusted: true,
      actions: [
        { action: 'c2pa.opened' },
        { action: 'c2pa.placed' },
        {
          action: 'c2pa.edited',
          when: '2026-11-29T12:00:00.000Z',
          source_type: 'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia',
          software: 'lipsync 1.2.3',
          provider: 'preview',
          model_sha256: null,
        },
      ],
      ingredients: [
        { depth: 1, relationship: 'parentOf', signer: null, actions: [] },
        { depth: 1, relationship: 'componentOf', signer: null, actions: [] },
      ],
    });
  });

  it('The signature of an unknown authority is valid but not trusted.', async () => {
    const other = await createSigner(await createAuthority(nowMs), nowMs);
    const origin = await reader.read(await makeMarked(await temporaryFolder(), other), signal);
    expect(origin).toMatchObject({ state: 'valid', trusted: false });
  });

  it('A changed file is invalid, and the reason names what was changed.', async () => {
    const path = await makeOwn();
    const file = await readFile(path);
    file[file.length - 20] = (file[file.length - 20] ?? 0) ^ 1;
    await writeFile(path, file);
    const reason = 'Picture, sound or index were changed after signing.';
    expect(await reader.read(path, signal)).toMatchObject({ state: 'invalid', reason, trusted: true });
  });

  it('A damaged manifest is invalid.', async () => {
    const path = await makeOwn();
    const file = await readFile(path);
    file.fill(255, 200, 400);
    await writeFile(path, file);
    expect(await reader.read(path, signal)).toMatchObject({ state: 'invalid', signer: null });
  });

  it('A file that exceeds the limit of memory or time is unreadable, and an abort ends its process.', async () => {
    const path = await makeOwn();
    const listAuthorities = async () => [];
    const small = new OriginReader({ listAuthorities, maxMemoryBytes: 1024 });
    expect(await small.read(path, signal)).toMatchObject({ state: 'unreadable', reason: /exceeds the memory limit/ });
    const hasty = new OriginReader({ listAuthorities, limitMs: 1 });
    expect(await hasty.read(path, signal)).toMatchObject({ state: 'unreadable', reason: /within 0\.001 s/ });
    await expect(reader.read(path, AbortSignal.timeout(20))).rejects.toMatchObject({ code: 'canceled' });
  });

  it('A file that waits ends with its request, and is refused while too many wait.', async () => {
    const path = await makeOwn();
    const stop = new AbortController();
    const reading = Array.from({ length: 18 }, () => reader.read(path, stop.signal).catch((error: unknown) => error));
    await expect(reader.read(path, signal)).rejects.toMatchObject({ code: 'resource_exhausted' });
    stop.abort();
    for (const outcome of await Promise.all(reading)) expect(outcome).toMatchObject({ code: 'canceled' });
    expect(await reader.read(path, signal)).toMatchObject({ state: 'valid' });
  });

  it('A label that is the name of a built-in property names no manifest.', () => {
    const ingredients = ['constructor', '__proto__'].map((active_manifest) => ({ active_manifest }));
    const manifests = { one: { assertions: [], ingredients } };
    const report = { active_manifest: 'one', manifests, validation_state: 'Valid' };
    expect(parseOrigin(report).ingredients).toMatchObject([{ signer: null }, { signer: null }]);
  });
});
