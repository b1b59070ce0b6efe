import { readFile, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { syncFile } from '../../../storage/durable-files.ts';

/** Where the released weights come from, and what their authors allow. */
export const officialSource = 'https://github.com/Rudrabha/Wav2Lip';
export const officialLicence =
  'Weights trained on LRS2: for research, academic and personal use only, no commercial use.';

/** Counts up when the same checkpoint becomes another file, so that models imported before are imported again. */
const importerVersion = 3;

const recordSchema = z.object({
  /** `wav2lip`, `wav2lip_gan`, or whatever the checkpoint's file was called. */
  name: z.string(),
  role: z.string(),
  source: z.string(),
  licence: z.string(),
  checkpoint: z.object({ sha256: z.string(), bytes: z.int(), format: z.enum(['legacy', 'zip']) }),
  model: z.object({
    sha256: z.string(),
    bytes: z.int(),
    element_type: z.enum(['float32', 'float16']),
    /** As in `GraphForm`; null in records of versions that did not write it. */
    form: z.enum(['plain', 'rewritten']).nullable().default(null),
  }),
  /** Of the comparison with the definition: layers compared, and the largest error in units of what was added up. */
  verification: z.object({ layers: z.int(), largest_error: z.number() }),
  importer_version: z.int(),
  imported_at: z.iso.datetime(),
});

/** What is written beside an imported model, as it stands in the file. */
export type ModelRecord = Readonly<z.infer<typeof recordSchema>>;

export function newModelRecord(
  facts: Omit<ModelRecord, 'role' | 'source' | 'licence' | 'importer_version'>,
): ModelRecord {
  const { name, ...rest } = facts;
  return {
    name,
    role: 'redraws a mouth to a sound',
    source: officialSource,
    licence: officialLicence,
    ...rest,
    importer_version: importerVersion,
  };
}

/** Where the record of the model at `modelPath` is. */
export function recordPathOf(modelPath: string): string {
  return `${modelPath}.json`;
}

/** Writes a record to a file that nobody else reads yet. */
export async function writeModelRecord(path: string, record: ModelRecord): Promise<void> {
  await writeFile(path, `${JSON.stringify(record, null, 2)}\n`);
  await syncFile(path);
}

/** The record of a model; null when there is none, or none that this version understands. */
export async function readModelRecord(modelPath: string): Promise<ModelRecord | null> {
  const text = await readFile(recordPathOf(modelPath), 'utf8').catch(() => '');
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** An ONNX file by its ending; anything else is taken for an official checkpoint. */
export function isOnnx(modelPath: string): boolean {
  return extname(modelPath).toLowerCase() === '.onnx';
}

/** Whether this version would import the same checkpoint to the same file. */
export function isCurrent(record: ModelRecord): boolean {
  return record.importer_version === importerVersion;
}
