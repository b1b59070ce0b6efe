import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortError } from '../errors/index.ts';
import { onnxModelParts, type OnnxGraph } from './onnx-writer.ts';

/** A file as its record tells it. */
export interface FileFacts {
  readonly bytes: number;
  /** In hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Writes an ONNX model at `path`, over what is there; the caller chooses a name that nobody reads yet and removes what
 * is there when this throws. Nothing but the graph's own arrays is held in memory. Throws the system's errors, and what
 * the signal was aborted with.
 */
export async function writeOnnxFile(
  path: string,
  graph: OnnxGraph,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<FileFacts> {
  const parts = onnxModelParts(graph);
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  try {
    await pipeline(Readable.from(parts), createWriteStream(path), signal ? { signal } : {});
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  }
  return { bytes: parts.reduce((sum, { length }) => sum + length, 0), sha256: hash.digest('hex') };
}
