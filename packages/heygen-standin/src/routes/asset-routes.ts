import { z } from 'zod';
import type { AssetStore } from '../assets/asset-store.ts';
import type { MediaLibrary } from '../assets/media-library.ts';
import { detectType, receiveFile, receiveFormFile } from '../assets/receive-file.ts';
import { dataAnswer, HeygenError, invalidParameter, xmlAnswer, type Answer } from '../http/answer.ts';
import { pathParameter, type Call, type Route } from '../http/mount-routes.ts';
import type { SignedLinks } from '../http/signed-links.ts';
import { parseBody } from '../lipsyncs/create-body.ts';
import type { LiveSettings } from '../settings.ts';

export interface AssetDependencies {
  readonly assets: AssetStore;
  readonly media: MediaLibrary;
  readonly settings: LiveSettings;
  readonly links: SignedLinks;
  /** Origin of signed links, e.g. http://127.0.0.1:4010. */
  readonly storageOrigin: () => string;
}

const uploadLifetimeMs = 3_600_000;
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/i);
const directUploadSchema = z.strictObject({
  filename: z.string().min(1),
  content_type: z.string().min(1),
  size_bytes: z.int().positive(),
  checksum_sha256: sha256Schema.optional(),
});
const completeSchema = z.strictObject({ checksum_sha256: sha256Schema.optional() });

export function createAssetRoutes(dependencies: AssetDependencies): readonly Route[] {
  return [
    {
      name: 'upload',
      method: 'post',
      path: '/v3/assets',
      readsBody: true,
      idempotent: true,
      handle: (call) => upload(call, dependencies),
    },
    {
      name: 'direct_upload',
      method: 'post',
      path: '/v3/assets/direct-uploads',
      idempotent: true,
      handle: (call) => announceUpload(call, dependencies),
    },
    {
      name: 'put',
      method: 'put',
      path: '/storage/uploads/:id',
      readsBody: true,
      signed: true,
      handle: (call) => put(call, dependencies),
    },
    {
      name: 'complete',
      method: 'post',
      path: '/v3/assets/:id/complete',
      handle: (call) => complete(call, dependencies),
    },
    { name: 'read_asset', method: 'get', path: '/v3/assets/:id', handle: (call) => read(call, dependencies) },
    { name: 'delete_asset', method: 'delete', path: '/v3/assets/:id', handle: (call) => remove(call, dependencies) },
  ];
}

async function upload({ request }: Call, dependencies: AssetDependencies): Promise<Answer> {
  const { assets, media, settings } = dependencies;
  const { simpleUploadMaxBytes, oversizeStatus } = settings.current;
  if (request.is('multipart/form-data') === false)
    throw invalidParameter('file', 'Content-Type must be multipart/form-data');
  const { name, file } = await receiveFormFile(request, media.createPath(), simpleUploadMaxBytes);
  if (file === undefined) {
    const code = oversizeStatus === 413 ? 'payload_too_large' : 'invalid_parameter';
    throw new HeygenError(oversizeStatus, code, `File is larger than ${simpleUploadMaxBytes} bytes`, { param: 'file' });
  }
  const mimeType = detectType(file.head);
  if (mimeType === undefined) throw invalidParameter('file', 'Content type not supported application/octet-stream');
  const { id } = assets.add(name, mimeType, file);
  return dataAnswer({
    asset_id: id,
    url: assetLink(id, dependencies),
    mime_type: mimeType,
    size_bytes: file.sizeBytes,
  });
}

function announceUpload({ request }: Call, { assets, settings, links, storageOrigin }: AssetDependencies): Answer {
  const { directUploadMaxBytes, completeConflicts } = settings.current;
  const body = parseBody(directUploadSchema, request.body);
  if (body.size_bytes > directUploadMaxBytes)
    throw new HeygenError(413, 'payload_too_large', `At most ${directUploadMaxBytes} bytes`, { param: 'size_bytes' });
  const announced = {
    name: body.filename,
    contentType: body.content_type,
    sizeBytes: body.size_bytes,
    sha256: body.checksum_sha256?.toLowerCase(),
  };
  const id = assets.announce(announced, completeConflicts);
  return dataAnswer({
    asset_id: id,
    upload_url: links.sign(storageOrigin(), `/storage/uploads/${id}`, uploadLifetimeMs),
    upload_headers: uploadHeaders(id, announced.contentType),
    expires_in_seconds: uploadLifetimeMs / 1000,
    max_bytes: directUploadMaxBytes,
    status: 'pending_upload',
  });
}

/** The headers that the signature of an upload link covers. */
function uploadHeaders(id: string, contentType: string): Readonly<Record<string, string>> {
  return { 'Content-Type': contentType, 'x-amz-meta-asset-id': id };
}

async function put({ request }: Call, { assets, media, links }: AssetDependencies): Promise<Answer> {
  const id = pathParameter(request, 'id');
  const pending = assets.findPending(id);
  if (pending === undefined || !links.verify(request.path, request.url)) return xmlAnswer(403, 'AccessDenied');
  const { contentType, sizeBytes, sha256 } = pending.announced;
  const signed = Object.entries(uploadHeaders(id, contentType));
  const extra = Object.keys(request.headers).filter(
    (name) => name.startsWith('x-amz-') && signed.every(([known]) => known.toLowerCase() !== name),
  );
  if (extra.length > 0 || signed.some(([name, value]) => request.get(name) !== value))
    return xmlAnswer(403, 'SignatureDoesNotMatch');
  const file = await receiveFile(request, media.createPath(), sizeBytes);
  if (file === undefined || file.sizeBytes !== sizeBytes) return xmlAnswer(400, 'EntityTooLarge');
  if (sha256 !== undefined && file.sha256 !== sha256) return xmlAnswer(400, 'BadDigest');
  pending.file = file;
  return { status: 200, headers: {}, body: '' };
}

function complete({ request }: Call, dependencies: AssetDependencies): Answer {
  const { assets } = dependencies;
  const { checksum_sha256: checksum } = parseBody(completeSchema, request.body);
  const id = pathParameter(request, 'id');
  const arrived = assets.findPending(id)?.file;
  if (checksum !== undefined && arrived !== undefined && arrived.sha256 !== checksum.toLowerCase())
    throw invalidParameter('checksum_sha256', 'Checksum does not match');
  const { mimeType, file } = assets.complete(id);
  return dataAnswer({
    asset_id: id,
    url: assetLink(id, dependencies),
    mime_type: mimeType,
    size_bytes: file.sizeBytes,
    status: 'processing',
  });
}

function read({ request }: Call, dependencies: AssetDependencies): Answer {
  const { id, name, mimeType, uploadedAtMs } = dependencies.assets.require(pathParameter(request, 'id'));
  return dataAnswer({
    id,
    name,
    type: mimeType.split('/')[0],
    owner: 'standin',
    space_id: null,
    uploaded_at: Math.floor(uploadedAtMs / 1000),
    folder_id: null,
    url: assetLink(id, dependencies),
  });
}

function remove({ request }: Call, { assets }: AssetDependencies): Answer {
  const id = pathParameter(request, 'id');
  assets.delete(id);
  return dataAnswer({ id });
}

function assetLink(id: string, { links, settings, storageOrigin }: AssetDependencies): string {
  return links.sign(storageOrigin(), `/storage/assets/${id}`, settings.current.linkLifetimeMs);
}
