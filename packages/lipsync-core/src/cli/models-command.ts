import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { LipsyncError, toLipsyncError } from '../errors/index.ts';
import { printable } from '../errors/quoted-text.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { listInstalled } from '../service/installation.ts';
import { tryModelApart } from '../providers/wav2lip/engine/try-model-apart.ts';
import { importWav2Lip, type ImportReport } from '../providers/wav2lip/model/import-model.ts';
import { isOnnx, readModelRecord, type ModelRecord } from '../providers/wav2lip/model/model-record.ts';
import { interruptSignal } from './interrupt-signal.ts';
import { readModelManifest } from './model-manifest.ts';
import { checkBundled, checkRecorded, listModels, type DigestCheck, type ListedModel } from './model-states.ts';
import { createProgressDisplay } from './progress-display.ts';
import { writeLine, type Terminal } from './terminal.ts';

/** What a model is written for; a GPU wants plain layers. */
const targets = ['cpu', 'gpu'] as const;

interface ImportFlags {
  readonly output: string;
  readonly for?: (typeof targets)[number];
  readonly float16?: boolean;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

interface FolderFlags {
  readonly folder: string;
  readonly json?: boolean;
}

/** What a subcommand has to say: the exit code, the one line of JSON, and the lines for people. */
interface Findings {
  readonly exitCode: number;
  readonly json: object;
  readonly stderr?: readonly string[];
  readonly stdout: readonly string[];
}

const defaultFolder = 'models';
/** For loading a model and running it once on the slowest machine. */
const longestTryMs = 3 * 60_000;

/** Adds `models import`, `models list` and `models verify`. */
export function addModelsCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  const models = program.command('models').description('import, list and verify models');
  const report = async (json: boolean | undefined, find: (signal: AbortSignal) => Promise<Findings>): Promise<void> => {
    setExitCode(await print(json ?? false, find, terminal));
  };
  models
    .command('import')
    .description('turn an official Wav2Lip checkpoint into an ONNX model; nothing in the checkpoint is executed')
    .argument('<checkpoint>', 'the .pth file as its authors released it')
    .requiredOption('-o, --output <file>', 'where the .onnx file goes; its record goes beside it')
    .addOption(
      new Option(
        '--for <device>',
        'what draws: a CPU computes less with layers that are rewritten for it, a GPU wants them plain (default: cpu, with --float16 gpu)',
      ).choices(targets),
    )
    .option('--float16', 'store and compute in half precision, which is for GPUs alone')
    .option('--overwrite', 'replace an output that exists')
    .option('--json', 'print what was written as one line of JSON')
    .action((checkpoint: string, flags: ImportFlags) =>
      report(flags.json, (signal) => importCheckpoint(checkpoint, flags, terminal, signal)),
    );
  models
    .command('list')
    .description('list bundled and imported models with licence, form and state')
    .option('--folder <folder>', 'the folder of models', defaultFolder)
    .option('--json', 'print the list as one line of JSON')
    .action((flags: FolderFlags) => report(flags.json, (signal) => list(flags.folder, definitions, signal)));
  models
    .command('verify')
    .description('compare a model with its record and try it')
    .argument('<model>', 'an .onnx file, or the name of a bundled model')
    .option('--folder <folder>', 'the folder of models', defaultFolder)
    .option('--json', 'print the findings as one line of JSON')
    .action((model: string, flags: FolderFlags) => report(flags.json, (signal) => verify(model, flags.folder, signal)));
}

/** Prints the findings, or the refusal as JSON where JSON was asked for, and returns the exit code. */
async function print(
  json: boolean,
  find: (signal: AbortSignal) => Promise<Findings>,
  { stdout, stderr }: Terminal,
): Promise<number> {
  const interrupt = interruptSignal();
  try {
    const findings = await find(interrupt.signal);
    if (json) writeLine(stdout, JSON.stringify(findings.json));
    else {
      for (const line of findings.stderr ?? []) writeLine(stderr, printable(line));
      for (const line of findings.stdout) writeLine(stdout, printable(line));
    }
    return findings.exitCode;
  } catch (thrown) {
    if (!json) throw thrown;
    const { code, message, policy } = toLipsyncError(thrown);
    writeLine(stdout, JSON.stringify({ status: 'failed', error: { code, message, retryable: policy.retryable } }));
    return 1;
  } finally {
    interrupt.end();
  }
}

async function importCheckpoint(
  checkpointPath: string,
  flags: ImportFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Findings> {
  const { output, float16 = false, overwrite = false, for: target = float16 ? 'gpu' : 'cpu' } = flags;
  if (float16 && target === 'cpu')
    throw new LipsyncError('request_invalid', '--float16 is for GPUs alone. Leave it out, or --for cpu.');
  if (!isOnnx(output))
    throw new LipsyncError(
      'request_invalid',
      `The model's name has to end in .onnx, by which it is told from a checkpoint: -o ${output}.onnx.`,
    );
  const display = createProgressDisplay(terminal.stderr);
  try {
    const report = await importWav2Lip({
      checkpointPath,
      outputPath: output,
      plain: target === 'gpu',
      float16,
      overwrite,
      signal,
      onProgress: (done) => display.show({ stage: 'importing', progress: Math.floor(done * 99), message: '' }),
    });
    return describeImport(report);
  } finally {
    display.end();
  }
}

function describeImport({ modelPath, recordPath, record }: ImportReport): Findings {
  const { checkpoint, model, verification } = record;
  return {
    exitCode: 0,
    json: { status: 'imported', model_path: modelPath, record_path: recordPath, ...record },
    stderr: [
      `checkpoint  ${checkpoint.format} format, ${megabytes(checkpoint.bytes)}, sha256 ${checkpoint.sha256}`,
      `model       ${kindOf(model)}, ${megabytes(model.bytes)}, sha256 ${model.sha256}`,
      `verified    ${verification.layers} layers against their definition`,
      `source      ${record.source}`,
      `licence     ${record.licence}`,
    ],
    stdout: [modelPath],
  };
}

async function list(
  folder: string,
  definitions: readonly ProviderDefinition[],
  signal: AbortSignal,
): Promise<Findings> {
  const configured = listInstalled(configFromEnvironment(undefined, definitions)).flatMap(
    ({ configured: { modelFile } }) => (modelFile?.path ? [{ setting: modelFile.setting, path: modelFile.path }] : []),
  );
  const models = await listModels({ folder, configured }, signal);
  const json = {
    models: models.map(({ elementType, setting, ...model }) => ({
      ...model,
      configured: setting !== null,
      element_type: elementType,
    })),
  };
  return { exitCode: 0, json, stdout: models.flatMap((model) => toLines(model, folder)) };
}

function toLines(
  { name, kind, state, role, licence, source, elementType, form, path, setting }: ListedModel,
  folder: string,
): string[] {
  const advice =
    state === 'missing' && source !== null
      ? `not in ${folder}; fetch it from ${source}, then: lipsync models import ${name}.pth -o ${join(folder, `${name}.onnx`)}`
      : '';
  const written = elementType === null ? '' : kindOf({ element_type: elementType, form });
  const details = [role ?? 'no record of what it is', written, path ?? '', setting ?? '', advice].filter(
    (detail) => detail.length > 0,
  );
  return [
    `${state.padEnd(10)}  ${name.padEnd(14)} ${kind.padEnd(9)} ${details.join(' · ')}`,
    `${' '.repeat(12)}licence: ${licence ?? 'not known'}`,
  ];
}

async function verify(model: string, folder: string, signal: AbortSignal): Promise<Findings> {
  const { models } = await readModelManifest(folder);
  const bundled = models.find(({ name }) => name === model);
  if (bundled) return describeBundled(bundled.name, bundled.licence, await checkBundled(bundled, signal));
  if (!isOnnx(model))
    throw new LipsyncError(
      'request_invalid',
      'Only .onnx models are verified, and bundled ones by their names. A checkpoint is verified while it is imported: models import.',
    );
  const check = await checkRecorded(model, signal);
  if (check.state === 'changed') return describeChanged(check);
  const facts = await tryModelApart(model, { signal, limitMs: longestTryMs });
  const record = await readModelRecord(model);
  const licence = record?.licence ?? null;
  const { element_type = null, form = null } = record?.model ?? {};
  const inputs = { mel: facts.melInput, frames: facts.framesInput };
  return {
    exitCode: 0,
    json: {
      ...toJson(check),
      crop_size_px: facts.cropSizePx,
      fixed_batch: facts.fixedBatch,
      inputs,
      output: facts.output,
      element_type,
      form,
      licence,
    },
    stdout: [
      `${check.state.padEnd(10)}  sha256 ${check.foundSha256}${check.state === 'unrecorded' ? ' (no record to compare it with)' : ''}`,
      `runs        crops of ${facts.cropSizePx} × ${facts.cropSizePx}, ${facts.fixedBatch === null ? 'any batch' : `batches of ${facts.fixedBatch}`}; one pass is finite`,
      ...(element_type === null ? [] : [`written     ${kindOf({ element_type, form })}`]),
      `licence     ${licence ?? 'not known; the official weights are for research and personal use only'}`,
    ],
  };
}

/** Not loaded: nobody knows what it is. */
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

function toJson({ path, state, expectedSha256, foundSha256 }: DigestCheck): object {
  return { path, state, expected_sha256: expectedSha256, found_sha256: foundSha256 };
}

/** Precision and form, for people. */
function kindOf({ element_type: elementType, form }: Pick<ModelRecord['model'], 'element_type' | 'form'>): string {
  switch (form) {
    case 'plain':
      return `${elementType}, plain layers, for a GPU`;
    case 'rewritten':
      return `${elementType}, layers rewritten for a CPU`;
    case null:
      return elementType;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
