import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { blobOfBytes, loadC2pa, type C2paLibrary } from '../../src/marking/c2pa-library.ts';
import type { SigningIdentity } from '../../src/marking/cose-signature.ts';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import { listBoxesIn } from '../../src/marking/mp4-boxes.ts';
import { markOutputTask, type MarkOutputInput } from '../../src/marking/mark-output-task.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { makeMedia, temporaryFolder, x264 } from '../media/make-media.ts';
import { verifyBySpecification } from './specification.ts';

const resources = new RenderResources();
const nowMs = Date.parse('2026-11-29T12:00:00Z');
let authority: SigningIdentity;
let signer: SigningIdentity;
let library: C2paLibrary;

beforeAll(async () => {
  authority = await createAuthority(nowMs);
  signer = await createSigner(authority, nowMs);
  library = await resources.get(loadC2pa);
});

const [testPicture, testSound] = ['testsrc=s=96x64:r=25:d=1', 'sine=d=1'];

async function makeVideo(folder: string, ...muxing: readonly string[]): Promise<string> {
  const inputs = ['-f', 'lavfi', '-i', testPicture, '-f', 'lavfi', '-i', testSound];
  return makeMedia(...inputs, ...x264, '-g', '5', '-c:a', 'aac', ...muxing, join(folder, 'take.mp4'));
}

async function mark(sourcePath: string, change: Partial<MarkOutputInput> = {}): Promise<string> {
  const targetPath = `${sourcePath}.marked`;
  const facts = {
    id: '5f8c1d9e-0000-4000-8000-000000000001',
    markedAt: new Date(nowMs).toISOString(),
    provider: 'preview',
    modelDigest: 'ab'.repeat(32),
    version: '1.2.3',
  };
  const { signal } = new AbortController();
  const context = { signal, resources, onProgress: () => undefined };
  const inputs = { clipPath: null, speechPath: null };
  const input = {
    sourcePath,
    targetPath,
    ...inputs,
    facts,
    identity: signer,
    withXmp: true,
    aigcProducer: null,
    timeStampAuthority: null,
    ...change,
  };
  await markOutputTask(input, context);
  return targetPath;
}

/** What the library that reads manifests finds. */
async function readByLibrary(file: Buffer): Promise<{ state: string; failures: readonly string[]; manifest: object }> {
  const settings = JSON.stringify({ trust: { user_anchors: authority.certificates[0] } });
  const reader = await library.Reader.fromBlob('video/mp4', blobOfBytes(file), settings);
  const {
    validation_state: state,
    validation_results: results,
    manifests,
    active_manifest: active,
  } = JSON.parse(reader.json());
  reader.free();
  const failures = results.activeManifest.failure.map(({ code }: { code: string }) => code);
  return { state, failures, manifest: manifests[active] };
}

/** The packets of the top-level boxes of XMP. */
function xmpBoxesOf(file: Buffer): readonly string[] {
  return listBoxesIn(file, 0, file.length)
    .map(({ start, sizeBytes }) => file.subarray(start, start + sizeBytes))
    .filter((box) => box.toString('hex', 4, 24) === '75756964be7acfcb97a942e89c71999491e3afac')
    .map((box) => box.toString('utf8', 24));
}

async function packetsOf(path: string): Promise<string> {
  const copy = ['-nostdin', '-v', 'error', '-i', path, '-c', 'copy', '-f', 'streamhash', '-'];
  return (await promisify(execFile)('ffmpeg', copy)).stdout;
}

const valid = { signatureIsValid: true, signerIsTrusted: true, changedAssertions: [], fileIsUnchanged: true };

describe('A marked output', () => {
  it.each([
    ['with its index in front', ['-movflags', '+faststart']],
    ['with its index at the end', []],
    ['in fragments', ['-movflags', 'frag_keyframe']],
    ['in fragments with an index', ['-movflags', 'frag_keyframe+global_sidx+empty_moov']],
  ])('The manifest of a file %s is valid for two independent readers, and no packet changes.', async (_, muxing) => {
    const path = await makeVideo(await temporaryFolder(), ...muxing);
    const marked = await mark(path);
    const file = await readFile(marked);
    expect(verifyBySpecification(file, authority.certificates[0] ?? '')).toMatchObject(valid);
    expect(await readByLibrary(file)).toMatchObject({ state: 'Trusted', failures: [] });
    expect(await packetsOf(marked)).toBe(await packetsOf(path));
  });

  it.each(['in front of the media', 'behind the media', 'in both places'])(
    'An earlier manifest %s is removed, and the index still finds each packet.',
    async (place) => {
      const path = await makeVideo(await temporaryFolder());
      const packets = await packetsOf(path);
      const file = await readFile(path);
      const typeBytes = file.readUInt32BE(0);
      const marked = await readFile(await mark(path));
      const manifest = marked.subarray(typeBytes, typeBytes + marked.readUInt32BE(typeBytes));
      const front = place === 'behind the media' ? file : marked;
      await writeFile(path, place === 'in front of the media' ? front : Buffer.concat([front, manifest]));
      const again = await mark(path);
      expect(verifyBySpecification(await readFile(again), authority.certificates[0] ?? '')).toMatchObject(valid);
      expect(await packetsOf(again)).toBe(packets);
    },
  );

  it('The manifest states action, source type, provider, model and time, and nothing about the files of the caller.', async () => {
    const file = await readFile(await mark(await makeVideo(await temporaryFolder())));
    const { manifest } = await readByLibrary(file);
    expect(manifest).toMatchObject({
      claim_generator_info: [{ name: 'lipsync', version: '1.2.3' }],
      instance_id: 'xmp:iid:5f8c1d9e-0000-4000-8000-000000000001',
      ingredients: [{ relationship: 'parentOf' }, { relationship: 'componentOf' }],
      assertions: [
        {
          label: 'c2pa.actions.v2',
          data: {
            actions: [
              { action: 'c2pa.opened' },
              { action: 'c2pa.placed' },
              {
                action: 'c2pa.edited',
                when: '2026-11-29T12:00:00.000Z',
                digitalSourceType:
                  'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia',
                softwareAgent: {
                  name: 'lipsync',
                  version: '1.2.3',
                  'internal.lipsync.provider': 'preview',
                  'internal.lipsync.model_sha256': 'ab'.repeat(32),
                },
              },
            ],
          },
        },
        { label: 'c2pa.hash.bmff.v3' },
      ],
    });
    expect(JSON.stringify(manifest)).not.toMatch(/title|thumbnail|take\.mp4/);
  });

  it.each(['moov', 'mdat'])('One changed byte in %s is detected by both readers.', async (type) => {
    const file = await readFile(await mark(await makeVideo(await temporaryFolder(), '-movflags', '+faststart')));
    for (const share of [0.1, 0.5, 0.9]) {
      const changed = Buffer.from(file);
      const start = file.lastIndexOf(type);
      const at = start + 8 + Math.floor((file.readUInt32BE(start - 4) - 16) * share);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(verifyBySpecification(changed, authority.certificates[0] ?? '').fileIsUnchanged).toBe(false);
      expect(await readByLibrary(changed)).toMatchObject({
        state: 'Invalid',
        failures: ['assertion.bmffHash.mismatch'],
      });
    }
  });

  it('A file that is marked again has one active manifest, the new one.', async () => {
    const once = await mark(await makeVideo(await temporaryFolder(), '-movflags', '+faststart'));
    const twice = await mark(once);
    const file = await readFile(twice);
    expect(verifyBySpecification(file, authority.certificates[0] ?? '')).toMatchObject(valid);
    expect((await readByLibrary(file)).state).toBe('Trusted');
    expect(await packetsOf(twice)).toBe(await packetsOf(once));
  });

  it('The source type is stated once as XMP, also in a file that is marked again, and the manifest covers it.', async () => {
    const path = await makeVideo(await temporaryFolder());
    const once = await mark(path);
    const file = await readFile(await mark(once));
    const term = 'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia';
    const stated = `<Iptc4xmpExt:DigitalSourceType>${term}</Iptc4xmpExt:DigitalSourceType>`;
    const boxes = xmpBoxesOf(file);
    expect(boxes).toEqual([expect.stringContaining(stated)]);
    const changed = Buffer.from(file);
    const at = file.indexOf(stated) + stated.indexOf('composite');
    changed.write('C', at);
    expect(verifyBySpecification(changed, authority.certificates[0] ?? '').fileIsUnchanged).toBe(false);
    expect((await readByLibrary(changed)).failures).toEqual(['assertion.bmffHash.mismatch']);
    expect(xmpBoxesOf(await readFile(await mark(once, { withXmp: false })))).toEqual(boxes);
    expect(xmpBoxesOf(await readFile(await mark(path, { withXmp: false })))).toEqual([]);
  });

  it.each([
    ['with its index in front', ['-movflags', '+faststart']],
    ['with its index at the end', []],
    ['in fragments with an index', ['-movflags', 'frag_keyframe+global_sidx+empty_moov']],
  ])('The AIGC label of a file %s is a tag of the file, and packets and manifest stay valid.', async (_, muxing) => {
    const path = await makeVideo(await temporaryFolder(), ...muxing);
    const marked = await mark(path, { aigcProducer: '制作 "A"' });
    const show = ['-v', 'error', '-show_entries', 'format_tags=AIGC', '-of', 'json', await mark(marked, {})];
    const { format } = JSON.parse((await promisify(execFile)('ffprobe', show)).stdout);
    expect(JSON.parse(format.tags.AIGC)).toEqual({
      Label: '1',
      ContentProducer: '制作 "A"',
      ProduceID: '5f8c1d9e-0000-4000-8000-000000000001',
      ReservedCode1: '',
      ContentPropagator: '',
      PropagateID: '',
      ReservedCode2: '',
    });
    const file = await readFile(marked);
    expect(verifyBySpecification(file, authority.certificates[0] ?? '')).toMatchObject(valid);
    expect(await readByLibrary(file)).toMatchObject({ state: 'Trusted', failures: [] });
    expect(await packetsOf(marked)).toBe(await packetsOf(path));
  });

  it('A file that is no complete MP4 is refused, and no copy remains.', async () => {
    const path = await makeVideo(await temporaryFolder());
    await writeFile(path, (await readFile(path)).subarray(0, -100));
    await expect(mark(path)).rejects.toMatchObject({ code: 'media_failed', message: /not a complete MP4/ });
    await expect(stat(`${path}.marked`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('The certificate of the signer has what C2PA requires of it.', () => {
    const certificate = new X509Certificate(signer.certificates[0] ?? '');
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.4']);
    expect(certificate.checkIssued(new X509Certificate(authority.certificates[0] ?? ''))).toBe(true);
  });
});
