import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { configFromEnvironment } from '../config.ts';
import { LipsyncError } from '../errors/index.ts';
import { printable } from '../errors/quoted-text.ts';
import { errnoCode } from '../errors/system-error.ts';
import { parseAllowedHosts } from '../net/index.ts';
import { hashFile } from '../storage/file-hash.ts';
import { type Findings, megabytes } from './findings.ts';
import { downloadModel } from './model-download.ts';
import { type FetchableModel, readModelManifest } from './model-files.ts';
import { type Terminal, confirm, createProgressDisplay, writeLine } from './terminal.ts';
import { invalidFlags, UsageError } from './usage-error.ts';

export interface FetchFlags {
  readonly folder: string;
  readonly yes?: boolean;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

interface FetchContext {
  readonly flags: FetchFlags;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

/**
 * Downloads a model of the manifest after its license was accepted. A file with the recorded digest is kept. Throws a
 * `UsageError` for an unknown name and without an answer, `not_supported` for a model that is imported only, `canceled`
 * for a refused license, `output_exists` for another file, and the errors of `downloadModel`.
 */
export async function fetchModel(name: string, { flags, terminal, signal }: FetchContext): Promise<Findings> {
  const { folder, yes = false, overwrite = false } = flags;
  const model = await findFetchable(name, folder);
  const path = join(folder, model.file);
  const found = await digestOf(path, signal);
  if (found === model.sha256) return describe(model, path, 'present');
  if (found !== null && !overwrite)
    throw new LipsyncError(
      'output_exists',
      `"${path}" exists already and is not the file of the manifest. Replace it with --overwrite, or choose another folder with --folder.`,
    );
  for (const line of describeOffer(model)) writeLine(terminal.stderr, printable(line));
  if (!yes) await requireConsent(model, terminal, signal);
  const display = createProgressDisplay(terminal.stderr);
  try {
    await downloadModel({
      file: model,
      outputPath: path,
      overwrite,
      allowedPrivateHosts: parseAllowedHosts(configFromEnvironment().allowedPrivateHosts),
      signal,
      onProgress: (done) => display.show({ stage: 'downloading', progress: Math.floor(done * 99), message: '' }),
    });
    display.show({ stage: 'verified', progress: 100, message: '' });
  } finally {
    display.end();
  }
  return describe(model, path, 'fetched');
}

async function findFetchable(name: string, folder: string): Promise<FetchableModel> {
  const { models, importable, fetchable } = await readModelManifest(folder);
  const model = fetchable.find((entry) => entry.name === name);
  if (model) return model;
  const imported = importable.find((entry) => entry.name === name);
  if (imported)
    throw new LipsyncError(
      'not_supported',
      `"${name}" can only be imported: its authors publish no digest to compare a download with. Download it from ${imported.source} (license: ${imported.licence}), then run: models import FILE -o ${join(folder, `${name}.onnx`)}`,
    );
  if (models.some((entry) => entry.name === name))
    throw new UsageError(`"${name}" is part of an installed package; nothing is fetched.`);
  const names = fetchable.map((entry) => entry.name);
  const advice = names.length === 0 ? `The folder "${folder}" has no manifest` : `Choose ${names.join(' or ')}`;
  throw new UsageError(`"${name}" is not a model that can be fetched. ${advice}, or name a folder with --folder.`);
}

/** Null for a missing file. */
async function digestOf(path: string, signal: AbortSignal): Promise<string | null> {
  const stats = await stat(path).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(errnoCode(error) ?? '')) return null;
    throw error;
  });
  if (stats === null) return null;
  if (!stats.isFile())
    throw new LipsyncError('request_invalid', `"${path}" is not a file. Remove it, or use --folder.`);
  return (await hashFile(path, signal)).sha256;
}

function describeOffer({ name, role, licence, source, commit, url, bytes, sha256 }: FetchableModel): string[] {
  return [
    `model       ${name}: ${role}`,
    `license     ${licence}`,
    `size        ${megabytes(bytes)}`,
    `source      ${source} at ${commit}`,
    `address     ${url}`,
    `sha256      ${sha256}`,
  ];
}

async function requireConsent({ name, licence }: FetchableModel, terminal: Terminal, signal: AbortSignal) {
  const answer = await confirm(`Download ${name} under this license (${licence})?`, terminal, signal);
  if (answer === null)
    throw invalidFlags([{ flag: '--yes', message: 'is required without a terminal; it accepts the license above' }]);
  if (!answer) throw new LipsyncError('canceled', 'The license was not accepted; nothing was downloaded.');
}

function describe(model: FetchableModel, path: string, status: 'fetched' | 'present'): Findings {
  const { name, licence, source, commit, bytes, sha256, setting } = model;
  return {
    exitCode: 0,
    json: { status, name, model_path: path, bytes, sha256, licence, source, commit, setting },
    stderr: [
      ...(status === 'present' ? [`${path} has the digest of the manifest already; nothing was downloaded.`] : []),
      `Use it with ${setting}=${path} in the environment or in .env.`,
    ],
    stdout: [path],
  };
}
