import { z } from 'zod';
import type { OriginView } from '../contract/origin-view.ts';

type Signer = OriginView['signer'];
type Action = OriginView['actions'][number];
type Ingredient = OriginView['ingredients'][number];

/** A manifest may come from anywhere: its texts are cut, and its lists end. */
const maxEntries = 100;
const maxDepth = 20;
const text = z
  .string()
  .transform((value) => value.slice(0, 200))
  .nullable()
  .catch(null)
  .default(null);

const agentSchema = z.union([
  z.string().transform((name) => ({ name })),
  z.looseObject({ name: text, version: text }).transform((agent) => ({ ...agent })),
]);

const actionSchema = z.object({
  action: text,
  when: text,
  digitalSourceType: text,
  softwareAgent: agentSchema.optional().catch(undefined),
});

const manifestSchema = z.object({
  signature_info: z.object({ common_name: text, issuer: text, cert_serial_number: text }).optional().catch(undefined),
  assertions: z.array(z.object({ label: z.string(), data: z.unknown() })).catch([]),
  ingredients: z.array(z.object({ relationship: text, format: text, active_manifest: text })).catch([]),
});

const codes = z.array(z.object({ code: z.string() }));

const storeSchema = z.object({
  active_manifest: z.string(),
  manifests: z.record(z.string(), manifestSchema),
  validation_state: z.string(),
  validation_results: z
    .object({ activeManifest: z.object({ success: codes, failure: codes }) })
    .optional()
    .catch(undefined),
});

type Store = z.output<typeof storeSchema>;
type Manifest = z.output<typeof manifestSchema>;

/** Own fields of manifests. C2PA requires names that begin with a domain; `.internal` is reserved for private use. */
export const providerField = 'internal.lipsync.provider';
export const modelField = 'internal.lipsync.model_sha256';

/** A certificate of an unknown authority is no fault of the file: `trusted` states it. */
const unknownAuthority = 'signingCredential.untrusted';

/** The origin of a file without a manifest that can be read. */
export function originWithout(state: 'invalid' | 'unsigned' | 'unreadable', reason: string | null): OriginView {
  return { state, reason, signer: null, trusted: false, actions: [], ingredients: [], fingerprint: null };
}

/** Reads what the library has found in a file. Throws for a shape that it does not have. */
export function parseOrigin(report: unknown): OriginView {
  const store = storeSchema.parse(report);
  const active = manifestOf(store, store.active_manifest);
  const { success = [], failure = [] } = store.validation_results?.activeManifest ?? {};
  const failures = failure.map(({ code }) => code);
  const faults = [...new Set(failures.filter((code) => code !== unknownAuthority))];
  const isValid = store.validation_state === 'Valid' || store.validation_state === 'Trusted';
  return {
    state: isValid ? 'valid' : 'invalid',
    reason: isValid ? null : describeFaults(faults),
    signer: signerOf(active),
    trusted: success.some(({ code }) => code === 'signingCredential.trusted'),
    actions: actionsOf(active),
    ingredients: listIngredients(store, active, 1).slice(0, maxEntries),
    fingerprint: null,
  };
}

const explanations: Readonly<Record<string, string>> = {
  'assertion.bmffHash.mismatch': 'Picture, sound or index were changed after signing.',
  'assertion.dataHash.mismatch': 'The content was changed after signing.',
  'assertion.hashedURI.mismatch': 'A statement of the manifest was changed after signing.',
  'claimSignature.mismatch': 'The manifest was changed after signing.',
  'signingCredential.expired': 'The certificate of the signer has expired.',
  'signingCredential.ocsp.revoked': 'The certificate of the signer is revoked.',
  'signingCredential.invalid': 'The certificate of the signer is not one for signing content.',
};

function describeFaults(faults: readonly string[]): string {
  const sentences = faults.slice(0, 10).map((code) => explanations[code] ?? `The manifest fails the check ${code}.`);
  return sentences.join(' ') || 'The manifest does not pass the checks of C2PA.';
}

function signerOf(manifest: Manifest | undefined): Signer {
  const info = manifest?.signature_info;
  return info ? { name: info.common_name, organization: info.issuer, serial_number: info.cert_serial_number } : null;
}

function actionsOf(manifest: Manifest | undefined): Action[] {
  const all = manifest?.assertions.filter(({ label }) => label.startsWith('c2pa.actions')) ?? [];
  return all.flatMap(({ data }) => readActions(data)).slice(0, maxEntries);
}

function readActions(data: unknown): Action[] {
  const parsed = z.object({ actions: z.array(actionSchema) }).safeParse(data);
  if (!parsed.success) return [];
  return parsed.data.actions.map(({ action, when, digitalSourceType, softwareAgent }) => {
    const agent: Readonly<Record<string, unknown>> = softwareAgent ?? {};
    const software = [agent['name'], agent['version']].filter((part) => typeof part === 'string').join(' ');
    return {
      action: action ?? 'unknown',
      when,
      source_type: digitalSourceType,
      software: software || null,
      provider: text.parse(agent[providerField]),
      model_sha256: text.parse(agent[modelField]),
    };
  });
}

/** Labels come from the file: one such as `constructor` names no manifest. */
function manifestOf({ manifests }: Store, label: string | null): Manifest | undefined {
  return label !== null && Object.hasOwn(manifests, label) ? manifests[label] : undefined;
}

/** Depth first. Manifests that name each other end at the greatest depth. */
function listIngredients(store: Store, manifest: Manifest | undefined, depth: number): Ingredient[] {
  if (!manifest || depth > maxDepth) return [];
  const found: Ingredient[] = [];
  for (const { relationship, format, active_manifest: label } of manifest.ingredients.slice(0, maxEntries)) {
    if (found.length >= maxEntries) break;
    const own = manifestOf(store, label);
    found.push({ depth, relationship, format, signer: signerOf(own), actions: actionsOf(own) });
    found.push(...listIngredients(store, own, depth + 1));
  }
  return found.slice(0, maxEntries);
}
