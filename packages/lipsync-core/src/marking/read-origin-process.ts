/** Entry of a process that reads the manifest of an untrusted file and reports it. Started by `OriginReader`. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { OriginView } from '../contract/origin-view.ts';
import { toFailure } from '../errors/carried-failure.ts';
import { blobOfFile, isManifestElsewhere, loadC2pa, withoutRequests } from './c2pa-library.ts';
import { detectFormat } from './media-type.ts';
import type { ReadOrigin } from './origin-reader.ts';
import { hasTooManyBoxes } from './mp4-boxes.ts';
import { originWithout, parseOrigin } from './parse-origin.ts';

const [path = '', anchors = ''] = process.argv.slice(2);
// A parent that has ended needs no answer.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

async function readOrigin(): Promise<OriginView> {
  const descriptor = openSync(path, 'r');
  try {
    const format = detectFormat(descriptor);
    if (format.type === 'unknown')
      return originWithout('unreadable', 'The file is no video, image or sound of a known format.');
    if (format.type === 'without_manifests') return originWithout('unsigned', null);
    const { mediaType } = format;
    if (mediaType === 'video/mp4' && (await isOfTooManyParts()))
      return originWithout('unreadable', 'The file has too many parts.');
    const { Reader } = await loadC2pa();
    const trust = anchors === '' ? {} : { trust: { user_anchors: anchors } };
    const settings = JSON.stringify({ ...trust, verify: withoutRequests });
    const reader = await Reader.fromBlob(mediaType, blobOfFile(descriptor, fstatSync(descriptor).size), settings);
    return parseOrigin(JSON.parse(reader.json()));
  } catch (error) {
    return fromReaderError(error);
  } finally {
    closeSync(descriptor);
  }
}

async function isOfTooManyParts(): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    return await hasTooManyBoxes(file);
  } finally {
    await file.close();
  }
}

function fromReaderError(error: unknown): OriginView {
  if (typeof error !== 'string') throw error;
  if (isManifestElsewhere(error))
    return originWithout('unsigned', 'The file names the address of its manifest, which is not requested.');
  const code = error.replace(/^C2pa\(|\)$/g, '').slice(0, 200);
  if (code === 'JumbfNotFound') return originWithout('unsigned', null);
  if (/Jumbf|Claim|Cose|Cbor|Assertion|Manifest|Hash|Redact|Prerelease/i.test(code))
    return originWithout('invalid', `The manifest is damaged (${code}).`);
  return originWithout('unreadable', `The file is damaged (${code}).`);
}

const outcome: ReadOrigin = await readOrigin().then((origin) => ({ type: 'read', origin }), toFailure);
process.send?.(outcome, undefined, undefined, () => process.disconnect());
