import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { WasmBuilder } from '@contentauth/c2pa-wasm';
import { z } from 'zod';
import type { Warning } from '../contract/provider-types.ts';
import { blobOfFile } from './c2pa-library.ts';
import { mediaTypeOf, sniffedBytes } from './media-type.ts';
import { isManifestBox, listTopLevelBoxes } from './mp4-boxes.ts';

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

const names: Readonly<Record<string, string>> = { clip: 'clip', speech: 'speech', take: "vendor's take" };

/** What the library states about the ingredients that it has read. */
const definitionSchema = z.object({
  ingredients: z.array(
    z.object({
      label: z.string(),
      validation_status: z.array(z.object({ code: z.string() })).nullish(),
    }),
  ),
});

/** What was found in a file: its media type, and whether its manifest is read. */
type Finding =
  | { readonly type: 'plain'; readonly format?: string }
  | { readonly type: 'marked'; readonly format: string }
  | { readonly type: 'too_large'; readonly format: string };

/** Whether a file is an MP4 with a manifest. */
export async function hasManifest(path: string): Promise<boolean> {
  return (await examineMp4(path)).type !== 'plain';
}

/**
 * Adds the files that an output was made from to its manifest, each with its own manifest, if it has one. Returns
 * warnings about manifests that are damaged, do not match their file, or are too large.
 */
export async function addIngredients(
  builder: WasmBuilder,
  ingredients: readonly Ingredient[],
  id: string,
): Promise<readonly Warning[]> {
  const warnings: Warning[] = [];
  for (const { name, relationship, path } of ingredients) {
    const found: Finding = path === null ? { type: 'plain' } : await examine(path);
    const stated = { label: name, relationship, instance_id: `xmp:iid:${id}-${name}` };
    const plain = JSON.stringify({ ...stated, ...(found.format !== undefined && { format: found.format }) });
    if (path === null || found.type !== 'marked') {
      builder.addIngredient(plain);
      if (found.type === 'too_large') warnings.push(notKept(name, 'is larger than 16 MiB'));
      continue;
    }
    const descriptor = openSync(path, 'r');
    try {
      const blob = blobOfFile(descriptor, fstatSync(descriptor).size);
      await builder.addIngredientFromBlob(JSON.stringify(stated), found.format, blob);
    } catch {
      builder.addIngredient(plain);
      warnings.push(notKept(name, 'is damaged'));
    } finally {
      closeSync(descriptor);
    }
  }
  return [...warnings, ...listDoubts(builder)];
}

function listDoubts(builder: WasmBuilder): readonly Warning[] {
  const { ingredients } = definitionSchema.parse(builder.getDefinition());
  return ingredients.flatMap(({ label, validation_status: status }) => {
    const codes = (status ?? []).map(({ code }) => code).filter((code) => code !== 'signingCredential.untrusted');
    if (codes.length === 0) return [];
    return [invalidMark(label, codes.slice(0, 3).join(', '))];
  });
}

function invalidMark(name: string, faults: string): Warning {
  return {
    code: 'input_mark_invalid',
    message: `The mark of origin that the ${names[name]} carries is not valid (${faults}). The output's contains it as it is.`,
  };
}

function notKept(name: Ingredient['name'], fault: string): Warning {
  return {
    code: 'input_mark_not_kept',
    message: `The mark of origin that the ${names[name]} carries ${fault}. It is not part of the output's.`,
  };
}

async function examine(path: string): Promise<Finding> {
  const descriptor = openSync(path, 'r');
  try {
    const head = Buffer.alloc(sniffedBytes);
    const format = mediaTypeOf(head.subarray(0, readSync(descriptor, head, 0, head.length, 0)));
    if (!format.includes('/')) return { type: 'plain' };
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
    const boxes = await listTopLevelBoxes(file).catch(() => []);
    for (const box of boxes)
      if (await isManifestBox(file, box))
        return { type: box.sizeBytes > maxManifestBytes ? 'too_large' : 'marked', format };
    return { type: 'plain', format };
  } finally {
    await file.close();
  }
}
