import type { Request } from 'express';
import type { Readable } from 'node:stream';
import {
  isUrl,
  ManifestError,
  maxBatchItems,
  parseManifest,
  toDisplayName,
  type ArtifactStore,
  type InputField,
  type InputReference,
  type ManifestRow,
} from '@lipsync/core/host';
import { readFormValues } from '@lipsync/core/contract';
import { ManifestItem, type GivenBatch } from './batch-body.ts';
import type { BodyTimeLimits } from './body-time.ts';
import { readFormParts, type FormFile } from './form-reader.ts';
import { urlField } from './multipart.ts';
import {
  createPendingUploads,
  type PendingUploads,
  type UploadReferences,
  type UploadRules,
} from './pending-uploads.ts';
import type { FieldProblem } from './problem.ts';

export const manifestField = 'manifest';
/** Inputs of an item, which are columns of the manifest. */
const columns = ['video', 'audio'] as const satisfies readonly InputField[];
const maxFiles = maxBatchItems * columns.length + 1;
const formLimits = { fields: 32, files: maxFiles, parts: maxFiles + 32 };
/** A larger one is refused by `parseManifest`. */
const maxKeptManifestBytes = 4 * 1_048_576 + 1;

/** A batch that was sent as a form. The caller commits or discards the uploads. */
export interface ReceivedBatchForm {
  readonly batch: GivenBatch;
  readonly uploads: PendingUploads<string>;
}

export interface BatchFormRules extends UploadRules {
  readonly bodyTime: BodyTimeLimits;
}

/**
 * Reads a batch that is sent as a CSV manifest and the files that its rows name, without committing them. Throws what
 * `readFormParts` throws and `payload_too_large` for files above a limit; then none of them is stored.
 */
export async function receiveBatchForm(
  request: Request,
  artifacts: ArtifactStore,
  { bodyTime, ...limits }: BatchFormRules,
): Promise<ReceivedBatchForm> {
  const uploads = createPendingUploads<string>(artifacts, limits);
  const files = new Map<string, FormFile>();
  let manifest: Promise<Buffer> | undefined;
  const parts = {
    limits: formLimits,
    advice: `Send one "${manifestField}" and at most ${maxFiles - 1} files`,
    isFile: (field: string | undefined) => field === manifestField,
    takeFile(file: FormFile) {
      if (file.field === manifestField) {
        if (manifest) return 'must be sent once';
        manifest = readManifest(file.content);
        return undefined;
      }
      const id = String(files.size);
      files.set(id, file);
      uploads.add(id, file.content, file.fileName ?? file.field);
      return undefined;
    },
    checkField: () => undefined,
  };
  try {
    const { fields, problems } = await readFormParts(request, parts, { bodyTime, failure: uploads.failure });
    const damaged = (await uploads.waitForContent()).map(({ field, message }) => ({
      field: nameOf(files.get(field)),
      message,
    }));
    const parsed = manifest ? parseRows(await manifest) : { rows: undefined, problems: [missingManifest] };
    const { items: given, ...common } = Object.fromEntries(readFormValues(fields));
    const inForm = given === undefined ? [] : [{ field: 'items', message: 'cannot be sent in a form' }];
    const named = new NamedFiles(files, await uploads.references());
    const items = parsed.rows?.map((row, index) => toItem(row, index, named));
    const unused = items ? named.listUnused() : [];
    const batch = {
      fields: new Map(Object.entries(common)),
      items,
      problems: [...problems, ...damaged, ...inForm, ...parsed.problems, ...unused],
    };
    return { batch, uploads };
  } catch (error) {
    await uploads.discard();
    throw error;
  }
}

const missingManifest: FieldProblem = {
  field: manifestField,
  message: 'is missing: send a CSV file with a row for each item (with curl: -F manifest=@batch.csv)',
};

/** Collects the manifest; what is beyond the largest one is dropped. An error of the content is one of the whole form. */
function readManifest(content: Readable): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  content
    .on('error', () => undefined)
    .on('data', (chunk: Buffer) => {
      if (sizeBytes < maxKeptManifestBytes) chunks.push(chunk);
      sizeBytes += chunk.length;
    })
    .once('end', () => resolve(Buffer.concat(chunks)));
  return promise;
}

interface ParsedRows {
  readonly rows: readonly ManifestRow[] | undefined;
  readonly problems: readonly FieldProblem[];
}

function parseRows(bytes: Buffer): ParsedRows {
  try {
    return { rows: parseManifest(bytes, columns), problems: [] };
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return { rows: undefined, problems: error.problems.map((message) => ({ field: manifestField, message })) };
  }
}

/** An input is a URL, which stays a field, or one of the files. */
function toItem({ line, fields: row }: ManifestRow, item: number, files: NamedFiles): ManifestItem {
  const fields = new Map([...row].filter(([name]) => !columns.some((column) => column === name)));
  const inputs: { [Field in InputField]?: InputReference } = {};
  const problems: FieldProblem[] = [];
  for (const field of columns) {
    const value = row.get(field);
    if (fields.delete(urlField(field)))
      problems.push({ field: urlField(field), message: `is no column of a manifest: "${field}" has files and URLs` });
    if (typeof value === 'string' && isUrl(value)) fields.set(urlField(field), value);
    else {
      const found = typeof value === 'string' ? files.find(value, item) : { message: 'is missing' };
      if ('message' in found) problems.push({ field, ...found });
      else inputs[field] = found;
    }
  }
  return new ManifestItem({ line, fields, inputs, problems });
}

/** The files of a form, by the names that rows of its manifest give them. */
class NamedFiles {
  readonly #files: ReadonlyMap<string, FormFile>;
  readonly #stored: UploadReferences<string>;
  /** Ids of files. */
  readonly #byFileName: ReadonlyMap<string, readonly string[]>;
  readonly #byPartName: ReadonlyMap<string, readonly string[]>;
  readonly #used = new Set<string>();
  /** The path by which a row named a file, by its last part. */
  readonly #paths = new Map<string, { readonly path: string; readonly item: number }>();

  constructor(files: ReadonlyMap<string, FormFile>, stored: UploadReferences<string>) {
    this.#files = files;
    this.#stored = stored;
    this.#byFileName = groupIds(files, 'fileName');
    this.#byPartName = groupIds(files, 'field');
  }

  /** The file that has this file name, or whose part has this name. A folder before the name does not count. */
  find(given: string, item: number): InputReference | { readonly message: string } {
    const name = toDisplayName(given, '');
    const path = given
      .normalize('NFC')
      .trim()
      .replaceAll('\\', '/')
      .replace(/^(\.\/)+/, '');
    const earlier = this.#paths.get(name) ?? { path, item };
    if (earlier.path !== path) {
      const other = `"${earlier.path}" of item ${earlier.item}`;
      return { message: `names "${path}", which a form cannot tell from ${other}: give each file its own name` };
    }
    this.#paths.set(name, earlier);
    const found = this.#byFileName.get(name) ?? this.#byPartName.get(name) ?? [];
    for (const id of found) this.#used.add(id);
    const [id = ''] = found;
    const stored = this.#stored[id];
    if (found.length > 1) return { message: `names "${name}", which ${found.length} files of the form have as name` };
    return stored ?? { message: `names the file "${name === '' ? path : name}", which the form does not have` };
  }

  listUnused(): readonly FieldProblem[] {
    return [...this.#files]
      .filter(([id]) => !this.#used.has(id))
      .map(([, file]) => ({ field: nameOf(file), message: 'is a file that no row of the manifest names' }));
  }
}

/** Groups the ids of files by a name, because a search of all files for each row would block the service for seconds. */
function groupIds(
  files: ReadonlyMap<string, FormFile>,
  part: 'fileName' | 'field',
): ReadonlyMap<string, readonly string[]> {
  const named = Map.groupBy(files, ([, file]) => toDisplayName(file[part] ?? '', ''));
  named.delete('');
  return new Map([...named].map(([name, entries]) => [name, entries.map(([id]) => id)]));
}

function nameOf(file: FormFile | undefined): string {
  return toDisplayName(file?.fileName ?? '', file?.field ?? '');
}
