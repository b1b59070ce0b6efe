import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
const typeCheckLimitMs = 120_000;

/** The fields that all objects of Kubernetes have. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

interface Model {
  new (data: unknown): { validate(): void };
}

/** The objects in the output of `helm template`. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document): unknown => {
      // For example a duplicate key.
      if (document.errors[0]) throw document.errors[0];
      return document.toJS();
    })
    .filter((object): object is Manifest => object !== null);
}

/**
 * Validates objects against the schemas of their kinds. The validators ignore unknown fields, so the compiler checks
 * the same objects against the types. Throws for the first fault.
 */
export async function validateManifests(manifests: readonly Manifest[], folder: string): Promise<void> {
  for (const manifest of manifests) {
    const path = join(folder, 'node_modules', `${moduleOf(manifest)}.js`);
    const models = (await import(pathToFileURL(path).href)) as Readonly<Record<string, Model>>;
    const Kind = models[manifest.kind];
    if (Kind === undefined) throw new Error(`${path} has no ${manifest.kind}.`);
    try {
      new Kind(manifest).validate();
    } catch (error) {
      throw new Error(`${manifest.kind} ${manifest.metadata.name}: ${messageOf(error)}`, { cause: error });
    }
  }
  await checkTypes(manifests, folder);
}

async function checkTypes(manifests: readonly Manifest[], folder: string): Promise<void> {
  const file = join(folder, 'manifests.ts');
  const lines = manifests.map(
    (manifest, index) =>
      `export const object${index}: import('${moduleOf(manifest)}').I${manifest.kind} = ` +
      `${JSON.stringify(manifest, undefined, 2)};\n`,
  );
  await writeFile(file, lines.join('\n'));
  const compiler = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsc');
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--ignoreConfig', '--module', 'nodenext'];
  await run(compiler, [...options, file], { timeout: typeCheckLimitMs }).catch(
    (error: { readonly stdout?: string }) => {
      throw new Error(`Fields that the schema does not have:\n${error.stdout ?? messageOf(error)}`);
    },
  );
}

function moduleOf({ apiVersion, kind }: Manifest): string {
  const path = `${apiVersion}/${kind}`;
  if (apiVersion.startsWith('keda.sh/')) return `@kubernetes-models/keda/${path}`;
  if (apiVersion.startsWith('monitoring.coreos.com/')) return `@kubernetes-models/prometheus-operator/${path}`;
  return `kubernetes-models/${path}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
