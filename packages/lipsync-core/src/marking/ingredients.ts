import { closeSync, fstatSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { WasmBuilder } from '@contentauth/c2pa-wasm';
import { z } from 'zod';
import type { Warning } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { blobOfFile } from './c2pa-library.ts';
import { detectFormat } from './media-type.ts';
import { hasTooManyBoxes, isManifestBox, readTopLevelBoxes } from './mp4-boxes.ts';

/** A file that an output was made from. */
export interface Ingredient {
  /** `take`: the file that a vendor returned, if it carries a manifest. */
  readonly name: 'clip' | 'speech' | 'take';
  readonly relationship: 'parentOf' | 'componentOf';
  /** Null if the file is no longer there; then it is named without its manifest. */
  readonly path: string | null;
}

/** Manifests above this size are left out: each output made from theirs would carry them. */
const maxManifestBytes = 16 * 1024 ** 2;
/** Other containers show the size of their manifest only when they are read as a whole. */
const maxOtherFileBytes = 256 * 1024 ** 2;

const names: Readonly<Record<Ingredient['name'], string>> = { clip: 'clip', speech: 'speech', take: "vendor's take" };

/** What the library states about the ingredients that it has read. */
const definitionSchema = z.object({
  ingredients: z.array(
    z.object({
      label: z.enum(['clip', 'speech', 'take']),
      /** The label of its manifest. */
      active_manifest: z.string().nullish(),
      validation_status: z.array(z.object({ code: z.string() })).nullish(),
    }),
  ),
});

/** What was found in a file: its media type, and whether its manifest is read. */
type Finding =
  | { readonly type: 'plain'; readonly format?: string }
  | { readonly type: 'marked'; readonly format: string }
  /** `fault` completes "The mark of origin of the clip …". */
  | { readonly type: 'left_out'; readonly format: string; readonly fault: string };

/** Whether a file is an MP4 with a manifest. */
export async function hasManifest(path: string): Promise<boolean> {
  return (await examineMp4(path)).type !== 'plain';
}

/** What was added to a manifest: the ingredients that have one of their own, and warnings about theirs. */
interface AddedIngredients {
  readonly marked: readonly Ingredient['name'][];
  readonly warnings: readonly Warning[];
}

/**
 * Adds the files that an output was made from to its manifest, each with its own manifest, if it has one. Warns of
 * manifests that are damaged, do not match their file, or are too large.
 */
export async function addIngredients(
  builder: WasmBuilder,
  ingredients: readonly Ingredient[],
  id: string,
): Promise<AddedIngredients> {
  const warnings: Warning[] = [];
  for (const { name, relationship, path } of ingredients) {
    const found: Finding = path === null ? { type: 'plain' } : await examine(path);
    const stated = { label: name, relationship, instance_id: `xmp:iid:${id}-${name}` };
    const plain = JSON.stringify({ ...stated, ...(found.format !== undefined && { format: found.format }) });
    if (path === null || found.type !== 'marked') {
      builder.addIngredient(plain);
      if (found.type === 'left_out') warnings.push(notKept(name, found.fault));
      continue;
    }
    const descriptor = openSync(path, 'r');
    try {
      const blob = blobOfFile(descriptor, fstatSync(descriptor).size);
      await builder.addIngredientFromBlob(JSON.stringify(stated), found.format, blob);
    } catch {
      builder.addIngredient(plain);
      warnings.push(damagedMark(name));
    } finally {
      closeSync(descriptor);
    }
  }
  const added = definitionSchema.parse(builder.getDefinition()).ingredients;
  const marked = added.filter(({ active_manifest: label }) => typeof label === 'string').map(({ label }) => label);
  return { marked, warnings: [...warnings, ...added.flatMap(listFaults)] };
}

type AddedIngredient = z.output<typeof definitionSchema>['ingredients'][number];

function listFaults({ label, validation_status: status }: AddedIngredient): readonly Warning[] {
  const codes = (status ?? []).map(({ code }) => code).filter((code) => code !== 'signingCredential.untrusted');
  if (codes.includes('manifest.inaccessible')) return [notKept(label, 'is at an address, not in the file')];
  return codes.length === 0 ? [] : [invalidMark(label, codes.slice(0, 3).join(', '))];
}

function invalidMark(name: Ingredient['name'], faults: string): Warning {
  return {
    code: 'input_mark_invalid',
    message:
      `The mark of origin of the ${names[name]} is not valid (${faults}). ` +
      'The mark of the output contains it unchanged.',
  };
}

/** Warns that a mark which cannot be read is left out. */
export function damagedMark(name: Ingredient['name']): Warning {
  return notKept(name, 'is damaged');
}

function notKept(name: Ingredient['name'], fault: string): Warning {
  return {
    code: 'input_mark_not_kept',
    message: `The mark of origin of the ${names[name]} ${fault}. The mark of the output does not contain it.`,
  };
}

async function examine(path: string): Promise<Finding> {
  const descriptor = openSync(path, 'r');
  try {
    const detected = detectFormat(descriptor);
    if (detected.type !== 'can_carry_manifest') return { type: 'plain' };
    const { mediaType: format } = detected;
    if (format === 'video/mp4') return await examineMp4(path);
    return { type: fstatSync(descriptor).size > maxOtherFileBytes ? 'plain' : 'marked', format };
  } finally {
    closeSync(descriptor);
  }
}

async function examineMp4(path: string): Promise<Finding> {
  const format = 'video/mp4';
  const file = await open(path, 'r');
  try {
    // Up to the first manifest, so that a file that is truncated or has trailing bytes keeps its mark.
    for await (const box of readTopLevelBoxes(file))
      if (await isManifestBox(file, box)) {
        if (box.sizeBytes > maxManifestBytes) return { type: 'left_out', format, fault: 'is larger than 16 MiB' };
        if (!(await hasTooManyBoxes(file))) return { type: 'marked', format };
        return { type: 'left_out', format, fault: 'is in a file of too many parts' };
      }
    return { type: 'plain', format };
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
    return { type: 'plain', format };
  } finally {
    await file.close();
  }
}
