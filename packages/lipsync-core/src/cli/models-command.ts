import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import { isOnnx, readModelRecord } from '../inference/models/model-record.ts';
import type { ImportReport } from '../inference/models/import-model.ts';
import { tryModelApart } from '../inference/models/try-model-apart.ts';
import type { NetworkKind } from '../inference/models/network-kind.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { listInstalled } from '../service/installation.ts';
import { listQualityModels } from '../service/quality-models.ts';
import { listNetworkKinds } from '../service/network-kinds.ts';
import {
  checkBundled,
  checkFetched,
  checkRecorded,
  listModels,
  type DigestCheck,
  type FetchableModel,
  type ListedModel,
  defaultModelFolder,
  readModelManifest,
} from './model-files.ts';
import { type Findings, megabytes, printFindings } from './findings.ts';
import { fetchModel, type FetchFlags } from './fetch-model.ts';
import { describeQuantization, kindOf } from './model-form.ts';
import { defaultMaxError, precisions, targets, toImportForm, type ImportFlags } from './import-flags.ts';
import { type Terminal, createProgressDisplay } from './terminal.ts';
import { UsageError } from './usage-error.ts';

interface FolderFlags {
  readonly folder: string;
  readonly json?: boolean;
}

/** Limit on loading a model and running it once; generous for slow machines. */
const trialTimeoutMs = 3 * 60_000;

/** Adds `models import`, `models fetch`, `models list` and `models verify`. */
export function addModelsCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  const models = program.command('models').description('import, fetch, list and verify models');
  const report = async (json: boolean | undefined, find: (signal: AbortSignal) => Promise<Findings>): Promise<void> => {
    setExitCode(await printFindings(json ?? false, find, terminal));
  };
  addImportCommand(models, (checkpoint, flags) =>
    report(flags.json, (signal) => importCheckpoint({ checkpoint, flags, definitions }, terminal, signal)),
  );
  models
    .command('fetch')
    .description("download a model of the manifest from its authors' address; shows license and size first")
    .argument('<name>', 'name of the model, as models list shows it')
    .option('--folder <folder>', 'model folder', defaultModelFolder)
    .option('-y, --yes', 'accept the license and download without a question (required without a terminal)')
    .option('--overwrite', 'replace a file that differs from the manifest (default: refuse)')
    .option('--json', 'print the result as one line of JSON on stdout')
    .action((name: string, flags: FetchFlags) =>
      report(flags.json, (signal) => fetchModel(name, { flags, terminal, signal })),
    );
  models
    .command('list')
    .description('list bundled, imported and fetched models with license, form and state')
    .option('--folder <folder>', 'model folder', defaultModelFolder)
    .option('--json', 'print the list as one line of JSON on stdout')
    .action((flags: FolderFlags) => report(flags.json, (signal) => list(flags.folder, definitions, signal)));
  models
    .command('verify')
    .description('compare a model with its record and run it once')
    .argument('<model>', '.onnx file or name of a bundled or fetched model')
    .option('--folder <folder>', 'model folder', defaultModelFolder)
    .option('--json', 'print the findings as one line of JSON on stdout')
    .action((model: string, flags: FolderFlags) =>
      report(flags.json, (signal) =>
        verify(model, { folder: flags.folder, kinds: listNetworkKinds(definitions) }, signal),
      ),
    );
}

function addImportCommand(models: Command, run: (checkpoint: string, flags: ImportFlags) => Promise<void>): void {
  models
    .command('import')
    .description('convert an official checkpoint to ONNX; no code in the checkpoint is executed')
    .argument('<checkpoint>', '.pth file as released by its authors')
    .requiredOption(
      '-o, --output <file>',
      'path of the .onnx file to create, with a record in the same folder (required)',
    )
    .addOption(
      new Option(
        '--for <device>',
        'target device: cpu (rewritten layers) or gpu (plain layers) (default: cpu, or gpu with float16)',
      ).choices(targets),
    )
    .addOption(
      new Option(
        '--precision <precision>',
        'float16 for a GPU only; int8 for a CPU only, faster, with an error that the import measures (default: float32)',
      ).choices(precisions),
    )
    .option('--float16', 'same as --precision float16')
    .option('--calibrate <clip>', 'clip with a face that int8 is calibrated on')
    .option('--calibrate-speech <file>', 'recording of speech for a calibration clip without sound')
    .option(
      '--max-error <levels>',
      `largest mean error of int8 in levels of 255; smaller keeps more layers in float32 (default: ${defaultMaxError})`,
    )
    .option('--overwrite', 'replace an existing output (default: refuse)')
    .option('--json', 'print the result as one line of JSON on stdout')
    .action(run);
}

interface ImportArguments {
  readonly checkpoint: string;
  readonly flags: ImportFlags;
  readonly definitions: readonly ProviderDefinition[];
}

async function importCheckpoint(
  { checkpoint: checkpointPath, flags, definitions }: ImportArguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Findings> {
  const form = toImportForm(flags, () => configFromEnvironment(undefined, definitions));
  const { output, overwrite = false } = flags;
  const display = createProgressDisplay(terminal.stderr);
  try {
    const { importModel } = await import('../inference/models/import-model.ts');
    const request = {
      checkpointPath,
      outputPath: output,
      ...form,
      overwrite,
      signal,
      onProgress: (done: number) => display.show({ stage: 'importing', progress: Math.floor(done * 99), message: '' }),
    };
    const report = await namingFile(checkpointPath, () => importModel(request, listNetworkKinds(definitions)));
    return describeImport(report);
  } finally {
    display.end();
  }
}

/** Adds the path to errors about a file. They leave it out elsewhere, because clients of the API must not see paths. */
async function namingFile<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (!LipsyncError.isInstance(error) || !fileErrors.has(error.code)) throw error;
    throw new LipsyncError(error.code, `"${path}": ${error.message}`, { cause: error });
  }
}

const fileErrors: ReadonlySet<ErrorCode> = new Set(['model_missing', 'model_invalid']);

function describeImport({ modelPath, recordPath, record }: ImportReport): Findings {
  const { checkpoint, model, verification } = record;
  return {
    exitCode: 0,
    json: { status: 'imported', model_path: modelPath, record_path: recordPath, ...record },
    stderr: [
      `checkpoint  ${checkpoint.format} format, ${megabytes(checkpoint.bytes)}, sha256 ${checkpoint.sha256}`,
      `model       ${kindOf(model)}, ${megabytes(model.bytes)}, sha256 ${model.sha256}`,
      `verified    ${verification.layers} layers against their definition`,
      ...(record.quantization === null ? [] : describeQuantization(record.quantization)),
      `source      ${record.source}`,
      `license     ${record.licence}`,
    ],
    stdout: [modelPath],
  };
}

async function list(
  folder: string,
  definitions: readonly ProviderDefinition[],
  signal: AbortSignal,
): Promise<Findings> {
  const config = configFromEnvironment(undefined, definitions);
  const ofProviders = listInstalled(config).map(({ configured: { modelFile } }) => modelFile);
  const configured = [...ofProviders, ...listQualityModels(config)].flatMap((file) =>
    file?.path ? [{ setting: file.setting, path: file.path }] : [],
  );
  const models = await listModels({ folder, configured }, signal);
  const json = { models: models.map(toModelJson) };
  const stderr = models.length === 0 ? [`No models in the folder "${folder}"; --folder names another one.`] : [];
  return { exitCode: 0, json, stderr, stdout: models.flatMap((model) => toLines(model, folder)) };
}

/** The order of the fields is part of the output. */
function toModelJson(model: ListedModel): object {
  const { name, role, licence, state } = model;
  const noFile = { path: null, configured: false, element_type: null };
  switch (model.kind) {
    case 'bundled':
      return { form: null, name, kind: 'bundled', role, licence, source: null, state, ...noFile };
    case 'importable':
      return { form: null, name, kind: 'imported', role, licence, source: model.source, state, ...noFile };
    case 'fetchable': {
      const { source, path, setting } = model;
      const file = { path, configured: setting !== null, element_type: null };
      return { form: null, name, kind: 'fetched', role, licence, source, state, ...file };
    }
    case 'imported': {
      const { source, form, path, setting, elementType } = model;
      const file = { form, state, path, configured: setting !== null, element_type: elementType };
      return { name, kind: 'imported', role, licence, source, ...file };
    }
  }
}

const shownKinds = { bundled: 'bundled', fetchable: 'fetched', importable: 'imported', imported: 'imported' } as const;

function toLines(model: ListedModel, folder: string): string[] {
  const { name, state, role, licence } = model;
  const details = [role ?? 'no record', ...describeFile(model), ...advise(model, folder)];
  return [
    `${state.padEnd(10)}  ${name.padEnd(14)} ${shownKinds[model.kind].padEnd(9)} ${details.join(' · ')}`,
    `${' '.repeat(12)}license: ${licence ?? 'unknown'}`,
  ];
}

function describeFile(model: ListedModel): string[] {
  if (model.kind === 'fetchable')
    return [...(model.path === null ? [] : [model.path]), ...(model.setting === null ? [] : [model.setting])];
  if (model.kind !== 'imported') return [];
  const { elementType, form, path, setting } = model;
  return [
    ...(elementType === null ? [] : [kindOf({ element_type: elementType, form })]),
    path,
    ...(setting === null ? [] : [setting]),
  ];
}

function advise(model: ListedModel, folder: string): string[] {
  if (model.kind === 'bundled' || model.state !== 'missing' || model.source === null) return [];
  if (model.kind === 'fetchable') return [`not in ${folder}; download it with: models fetch ${model.name}`];
  const { name, source } = model;
  const output = join(folder, `${name}.onnx`);
  const checkpoint = model.kind === 'importable' ? model.checkpoint : 'CHECKPOINT';
  return [`not in ${folder}; fetch it from ${source}, then: models import ${checkpoint} -o ${output}`];
}

async function verify(
  model: string,
  { folder, kinds }: { readonly folder: string; readonly kinds: readonly NetworkKind[] },
  signal: AbortSignal,
): Promise<Findings> {
  const { models, fetchable } = await readModelManifest(folder);
  const bundled = models.find(({ name }) => name === model);
  if (bundled) return describeBundled(bundled.name, bundled.licence, await checkBundled(bundled, signal));
  const fetched = fetchable.find(({ name }) => name === model);
  if (fetched) return describeFetched(fetched, await checkFetched(fetched, folder, signal));
  if (!isOnnx(model))
    throw new UsageError(
      `"${model}" is neither an .onnx file nor a bundled or fetched model of the folder "${folder}". Checkpoints are verified on import.`,
    );
  const check = await namingFile(model, () => checkRecorded(model, signal));
  if (check.state === 'changed') return describeChanged(check);
  const record = await readModelRecord(model);
  const recorded = kinds.filter(({ id }) => id === record?.network);
  const { facts, summary } = await namingFile(model, () =>
    tryModelApart(model, { kinds: recorded.length > 0 ? recorded : kinds, signal, limitMs: trialTimeoutMs }),
  );
  const licence = record?.licence ?? null;
  const { element_type = null, form = null } = record?.model ?? {};
  const quantization = record?.quantization ?? null;
  return {
    exitCode: 0,
    json: {
      ...toJson(check),
      ...facts,
      element_type,
      form,
      quantization,
      licence,
    },
    stdout: [
      `${check.state.padEnd(10)}  sha256 ${check.foundSha256}${check.state === 'unrecorded' ? ' (no record to compare it with)' : ''}`,
      `runs        ${summary}`,
      ...(element_type === null ? [] : [`written     ${kindOf({ element_type, form })}`]),
      ...(quantization === null ? [] : describeQuantization(quantization)),
      `license     ${licence ?? 'unknown; see the license of its authors'}`,
    ],
  };
}

/** The model is not loaded, since its content is unknown. */
function describeChanged(check: DigestCheck): Findings {
  return {
    exitCode: 1,
    json: toJson(check),
    stdout: [
      `changed     ${check.path}: expected sha256 ${check.expectedSha256}, found ${check.foundSha256}. Import it again.`,
    ],
  };
}

function describeBundled(name: string, licence: string, checks: readonly DigestCheck[]): Findings {
  return {
    exitCode: checks.every(({ state }) => state === 'ok') ? 0 : 1,
    json: { name, licence, files: checks.map(toJson) },
    stdout: checks.map(
      ({ path, state, expectedSha256, foundSha256 }) =>
        `${state.padEnd(10)}  ${path}${state === 'ok' ? '' : `: expected sha256 ${expectedSha256}, found ${foundSha256 ?? 'nothing'}. Install the packages again.`}`,
    ),
  };
}

function describeFetched({ name, licence }: FetchableModel, check: DigestCheck): Findings {
  const { path, state, expectedSha256, foundSha256 } = check;
  const difference = `: expected sha256 ${expectedSha256}, found ${foundSha256 ?? 'no file'}. Run: models fetch ${name}`;
  return {
    exitCode: state === 'ok' ? 0 : 1,
    json: { name, licence, ...toJson(check) },
    stdout: [`${state.padEnd(10)}  ${path}${state === 'ok' ? '' : difference}`, `license     ${licence}`],
  };
}

function toJson({ path, state, expectedSha256, foundSha256 }: DigestCheck): object {
  return { path, state, expected_sha256: expectedSha256, found_sha256: foundSha256 };
}
