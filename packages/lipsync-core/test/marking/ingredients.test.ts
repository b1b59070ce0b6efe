import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Warning } from '../../src/contract/provider-types.ts';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { markOutputTask } from '../../src/marking/mark-output-task.ts';
import { manifestUserType } from '../../src/marking/mp4-boxes.ts';
import { OriginReader } from '../../src/marking/origin-reader.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { makeMedia, temporaryFolder, x264 } from '../media/make-media.ts';
import { verifyBySpecification } from './specification.ts';

const slow = { timeout: 120_000 } as const;
const { signal } = new AbortController();
const resources = new RenderResources();
const nowMs = Date.now();
let authority: SigningIdentity;
let identity: SigningIdentity;
let reader: OriginReader;
let folder: string;

beforeAll(async () => {
  authority = await createAuthority(nowMs);
  identity = await createSigner(authority, nowMs);
  reader = new OriginReader({ listAuthorities: async () => authority.certificates });
});

async function makeVideo(name: string): Promise<string> {
  return makeMedia('-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', ...x264, join(folder, `${name}.mp4`));
}

interface Made {
  readonly path: string;
  readonly warnings: readonly Warning[];
}

async function mark(
  name: string,
  inputs: { clipPath?: string; speechPath?: string; takePath?: string },
): Promise<Made> {
  const { clipPath = null, speechPath = null, takePath = await makeVideo(`take-of-${name}`) } = inputs;
  const targetPath = join(folder, `${name}.mp4`);
  const facts = {
    id: crypto.randomUUID(),
    markedAt: '2026-11-29T12:00:00.000Z',
    provider: name,
    modelDigest: null,
    version: '1.2.3',
  };
  const context = { signal, resources, onProgress: () => undefined };
  const warnings = await markOutputTask(
    {
      sourcePath: takePath,
      targetPath,
      clipPath,
      speechPath,
      facts,
      identity,
      withXmp: true,
      aigcProducer: null,
      timeStampAuthority: null,
    },
    context,
  );
  return { path: targetPath, warnings };
}

const providerOf = ({ actions }: { actions: readonly { provider: string | null }[] }): string | undefined =>
  actions.find(({ provider }) => provider !== null)?.provider ?? undefined;

describe('The marks of inputs', slow, () => {
  it('The manifests of three generations are read back in order, and both readers accept the last one.', async () => {
    folder = await temporaryFolder();
    const first = await mark('first', {});
    const second = await mark('second', { clipPath: first.path });
    const third = await mark('third', { clipPath: second.path });
    expect([...first.warnings, ...second.warnings, ...third.warnings]).toEqual([]);
    const origin = await reader.read(third.path, signal);
    expect(origin).toMatchObject({ state: 'valid', trusted: true });
    const parents = origin.ingredients.filter(({ relationship }) => relationship === 'parentOf');
    expect([providerOf(origin), ...parents.map(providerOf)]).toEqual(['third', 'second', 'first', undefined]);
    expect(parents.map(({ depth }) => depth)).toEqual([1, 2, 3]);
    expect(verifyBySpecification(await readFile(third.path), authority.certificates[0] ?? '')).toMatchObject({
      signatureIsValid: true,
      changedAssertions: [],
      fileIsUnchanged: true,
    });
  });

  it("A vendor's take with a manifest becomes an ingredient, and only our manifest is active.", async () => {
    folder = await temporaryFolder();
    const ofVendor = await mark('vendor', {});
    const { path, warnings } = await mark('ours', { takePath: ofVendor.path });
    expect(warnings).toEqual([]);
    const origin = await reader.read(path, signal);
    expect([origin.state, providerOf(origin)]).toEqual(['valid', 'ours']);
    const take = origin.ingredients.find(({ depth, actions }) => depth === 1 && actions.length > 0);
    expect([take?.relationship, take && providerOf(take)]).toEqual(['componentOf', 'vendor']);
  });

  it('A changed clip keeps its mark with a warning, a damaged or enormous mark is left out with one.', async () => {
    folder = await temporaryFolder();
    const { path: clipPath } = await mark('clip', {});
    const file = await readFile(clipPath);
    const changed = Buffer.from(file);
    changed[changed.length - 20] = (changed[changed.length - 20] ?? 0) ^ 1;
    await writeFile(clipPath, changed);
    const kept = await mark('of-changed', { clipPath });
    expect(kept.warnings).toEqual([{ code: 'input_mark_invalid', message: expect.stringContaining('bmffHash') }]);
    expect(await reader.read(kept.path, signal)).toMatchObject({ state: 'valid', trusted: true });
    await writeFile(clipPath, Buffer.from(file).fill(255, 200, 400));
    const damaged = await mark('of-damaged', { clipPath });
    expect(damaged.warnings).toEqual([{ code: 'input_mark_not_kept', message: expect.stringContaining('is damaged') }]);
    expect(await reader.read(damaged.path, signal)).toMatchObject({ state: 'valid' });
    await writeFile(clipPath, await enormousManifest());
    const enormous = await mark('of-enormous', { clipPath });
    expect(enormous.warnings).toEqual([{ code: 'input_mark_not_kept', message: expect.stringContaining('16 MiB') }]);
  });

  it('A clip with trailing bytes keeps its mark, and a truncated clip loses it with a warning.', async () => {
    folder = await temporaryFolder();
    const { path: clipPath } = await mark('clip', {});
    const file = await readFile(clipPath);
    await writeFile(clipPath, Buffer.concat([file, Buffer.from('end')]));
    const longer = await mark('of-longer', { clipPath });
    const [parent] = (await reader.read(longer.path, signal)).ingredients;
    expect([parent?.relationship, parent && providerOf(parent)]).toEqual(['parentOf', 'clip']);
    await writeFile(clipPath, file.subarray(0, -100));
    const truncated = await mark('of-truncated', { clipPath });
    expect(truncated.warnings).toMatchObject([{ code: 'input_mark_not_kept' }]);
  });

  it('A file of too many boxes is left out and unreadable at once, because the library would take minutes.', async () => {
    folder = await temporaryFolder();
    const { path: clipPath } = await mark('clip', {});
    const box = Buffer.from('\0\0\0\bfree', 'latin1');
    await writeFile(clipPath, Buffer.concat([await readFile(clipPath), Buffer.alloc(8 * 20_000, box)]));
    expect((await mark('of-many', { clipPath })).warnings).toMatchObject([
      { message: expect.stringContaining('too many parts') },
    ]);
    expect(await reader.read(clipPath, signal)).toMatchObject({ state: 'unreadable', reason: /too many parts/ });
  });

  it('An output is marked although the mark of its clip can be read but not be built into another.', async () => {
    folder = await temporaryFolder();
    const first = await mark('first', {});
    const { path: clipPath } = await mark('second', { clipPath: first.path });
    const file = await readFile(clipPath);
    // The size of the manifest of the first generation, inside the store of the second.
    file[file.indexOf('jumb', file.indexOf('jumb') + 1) - 4] = 57;
    await writeFile(clipPath, file);
    const { path, warnings } = await mark('third', { clipPath });
    expect(warnings).toEqual([{ code: 'input_mark_not_kept', message: expect.stringContaining('is damaged') }]);
    const origin = await reader.read(path, signal);
    expect([origin.state, providerOf(origin), origin.ingredients.length]).toEqual(['valid', 'third', 2]);
  });

  it('Images and sounds without a mark are named with their format only.', async () => {
    folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc=s=64x64:d=1',
      '-frames:v',
      '1',
      join(folder, 'still.png'),
    );
    const speechPath = await makeMedia('-f', 'lavfi', '-i', 'sine=d=1', join(folder, 'speech.wav'));
    const { path, warnings } = await mark('of-still', { clipPath, speechPath });
    expect(warnings).toEqual([]);
    const { ingredients } = await reader.read(path, signal);
    expect(ingredients.map(({ relationship, format }) => [relationship, format])).toEqual([
      ['parentOf', 'image/png'],
      ['componentOf', 'audio/wav'],
    ]);
  });
});

/** A video with a manifest box of 17 MiB behind it. */
async function enormousManifest(): Promise<Buffer> {
  const path = await makeVideo('plain');
  const header = Buffer.alloc(8);
  header.writeUInt32BE(17 * 1024 ** 2);
  header.write('uuid', 4, 'latin1');
  const box = Buffer.concat([header, manifestUserType, Buffer.alloc(17 * 1024 ** 2 - 24)]);
  return Buffer.concat([await readFile(path), box]);
}

/** A JPEG whose XMP names the address of its manifest. */
async function makePictureWithAddress(address: string): Promise<string> {
  const path = join(folder, 'address.jpg');
  await makeMedia('-f', 'lavfi', '-i', 'testsrc2=s=64x64', '-frames:v', '1', '-update', '1', path);
  const picture = await readFile(path);
  const rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"';
  const terms = `xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="${address}"`;
  const description = `<rdf:RDF ${rdf}><rdf:Description rdf:about="" ${terms}/></rdf:RDF>`;
  const xmp = Buffer.from(
    `http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">${description}</x:xmpmeta>`,
  );
  const header = Buffer.from([0xff, 0xe1, 0, 0]);
  header.writeUInt16BE(xmp.length + 2, 2);
  await writeFile(path, Buffer.concat([picture.subarray(0, 2), header, xmp, picture.subarray(2)]));
  return path;
}

it(
  'The address of a manifest that a file names is not requested, neither to verify it nor to use it.',
  slow,
  async () => {
    folder = await temporaryFolder();
    let requests = 0;
    const server = createServer((_, response) => {
      requests += 1;
      response.end();
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const clipPath = await makePictureWithAddress(`http://127.0.0.1:${port}/manifest.c2pa`);
    expect(await reader.read(clipPath, signal)).toMatchObject({ state: 'unsigned', reason: expect.any(String) });
    const { warnings } = await mark('of-address', { clipPath });
    expect(warnings).toMatchObject([
      { code: 'input_mark_not_kept', message: expect.stringContaining('not in the file') },
    ]);
    expect(requests).toBe(0);
  },
);
