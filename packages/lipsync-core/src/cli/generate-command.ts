import type { Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { toLipsyncError, type LipsyncError } from '../errors/index.ts';
import { toJobView } from '../jobs/job-view.ts';
import { createLocalHost } from '../service/get-lipsync-service.ts';
import type { LocalJobOutcome } from '../service/local-jobs.ts';
import { parseInput } from '../service/parse-input.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { OptionFlags } from './option-flags.ts';
import { type Terminal, createProgressDisplay, interruptSignal, writeLine } from './terminal.ts';

interface GenerateFlags extends Record<string, unknown> {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

export function addGenerateCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  const flags = new OptionFlags(definitions);
  const command = program
    .command('generate')
    .description('make a video or still image speak an audio recording')
    .argument('<video>', 'video or still image')
    .argument('<audio>', 'speech recording')
    .requiredOption('-o, --output <file>', 'path of the result')
    .option('--overwrite', 'replace an existing output')
    .option('--json', 'print the job as one line of JSON');
  flags.addTo(command).action(async (video: string, audio: string, given: GenerateFlags) => {
    try {
      const outcome = await generate({ video, audio, given, options: flags.read(given) }, definitions, terminal);
      if (given.json) printJson(outcome, given.output, terminal);
      else printResult(outcome, given.output, terminal);
      setExitCode(outcome.error ? 1 : 0);
    } catch (thrown) {
      if (!given.json) throw thrown;
      printRejection(toLipsyncError(thrown), terminal);
      setExitCode(1);
    }
  });
}

interface GenerateArguments {
  readonly video: string;
  readonly audio: string;
  readonly given: GenerateFlags;
  readonly options: Readonly<Record<string, unknown>>;
}

async function generate(
  { video, audio, given, options: unchecked }: GenerateArguments,
  definitions: readonly ProviderDefinition[],
  terminal: Terminal,
): Promise<LocalJobOutcome> {
  const host = createLocalHost(configFromEnvironment(undefined, definitions));
  const interrupt = interruptSignal();
  const display = createProgressDisplay(terminal.stderr);
  try {
    const options = parseInput(host.optionsSchema, unchecked);
    return await host.localJobs.run(
      { videoPath: video, audioPath: audio, outputPath: given.output, overwrite: given.overwrite ?? false, options },
      { signal: interrupt.signal, onProgress: (update) => display.show(update) },
    );
  } finally {
    display.end();
    interrupt.end();
    await host.close();
  }
}

function printJson({ record }: LocalJobOutcome, outputPath: string, { stdout }: Terminal): void {
  const completed = record.status === 'completed';
  writeLine(stdout, JSON.stringify({ ...toJobView(record, null), output_path: completed ? outputPath : null }));
}

/** A rejected request has no job id; print only status and error. */
function printRejection({ code, message, policy }: LipsyncError, { stdout }: Terminal): void {
  writeLine(
    stdout,
    JSON.stringify({ status: 'failed', error: { code, message, retryable: policy.retryable }, output_path: null }),
  );
}

function printResult({ record, error }: LocalJobOutcome, outputPath: string, { stdout, stderr }: Terminal): void {
  for (const warning of record.warnings) writeLine(stderr, `warning ${warning.code}: ${warning.message}`);
  if (error) return writeLine(stderr, `${error.code}: ${error.message}`);
  writeLine(
    stderr,
    `Made by ${record.result?.methodUsed ?? 'copying the clip'}${record.result?.degraded ? ' (degraded)' : ''}.`,
  );
  writeLine(stdout, outputPath);
}
