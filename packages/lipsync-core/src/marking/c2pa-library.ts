import { readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import init, { WasmBuilder, WasmReader } from '@contentauth/c2pa-wasm';

/** The C2PA library. It was made for browsers, whose `Blob` and `FileReaderSync` it uses to read files in parts. */
export interface C2paLibrary {
  readonly Builder: typeof WasmBuilder;
  readonly Reader: typeof WasmReader;
}

/** The library would request addresses that files and certificates name, private ones too. */
export const withoutRequests = { remote_manifest_fetch: false, ocsp_fetch: false } as const;

/** Whether the library found the address of a manifest instead of one. It throws texts such as `C2pa(JumbfNotFound)`. */
export function isManifestElsewhere(error: unknown): boolean {
  return typeof error === 'string' && error.startsWith('C2pa(RemoteManifestUrl');
}

/** Loads the library into this process. It blocks the event loop: load it in a process of its own only. */
export async function loadC2pa(): Promise<C2paLibrary> {
  const modulePath = fileURLToPath(import.meta.resolve('@contentauth/c2pa-wasm/c2pa.wasm'));
  Object.assign(globalThis, { FileReaderSync: PartReader });
  await init({ module_or_path: await readFile(modulePath) });
  return { Builder: WasmBuilder, Reader: WasmReader };
}

/** A part of an open file or of a buffer, which the library reads when it needs it. */
class FilePart {
  readonly size: number;
  readonly #read: (start: number, length: number) => Buffer;
  readonly #start: number;

  constructor(read: (start: number, length: number) => Buffer, start: number, size: number) {
    this.#read = read;
    this.#start = start;
    this.size = size;
  }

  slice(start: number = 0, end: number = this.size): FilePart {
    const first = Math.min(start, this.size);
    return new FilePart(this.#read, this.#start + first, Math.max(0, Math.min(end, this.size) - first));
  }

  readAll(): Buffer {
    return this.#read(this.#start, this.size);
  }
}

class PartReader {
  readAsArrayBuffer(part: FilePart): ArrayBufferLike {
    return Uint8Array.from(part.readAll()).buffer;
  }
}

/** A buffer as the library reads it. */
export function blobOfBytes(bytes: Buffer): Blob {
  return toBlob(new FilePart((start, length) => bytes.subarray(start, start + length), 0, bytes.length));
}

/** An open file as the library reads it, in parts. */
export function blobOfFile(descriptor: number, sizeBytes: number): Blob {
  const read = (start: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, start));
  };
  return toBlob(new FilePart(read, 0, sizeBytes));
}

/** `as`: the library calls nothing but `size` and `slice`, and passes parts to `FileReaderSync`. */
function toBlob(part: FilePart): Blob {
  return part as unknown as Blob;
}
