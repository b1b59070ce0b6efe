import { resolve } from 'node:path';
import type { Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import { parseRequest, type JobView, type LipsyncOptions } from '../contract/index.ts';
import { toJobView } from '../jobs/job-view.ts';
import { createLocalHost } from '../service/get-lipsync-service.ts';
import { OutputFiles } from '../service/output-file.ts';
import type { OptionsSchema } from '../service/parse-input.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { connect, namingFlags, toRequest } from './remote-service.ts';
import { download } from './service-commands.ts';
import { modesHelp, OptionFlags } from './option-flags.ts';
import { type Terminal, createProgressDisplay, interruptSignal, writeLine } from './terminal.ts';
import { invalidFlags } from './usage-error.ts';

interface GenerateFlags extends Record<string, unknown> {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
  readonly server?: string;
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
    .description('make the person in a video or still image speak an audio recording')
    .argument('<video>', 'video or still image: a file or an http(s) URL')
    .argument('<audio>', 'speech recording, any audio format or a video with sound: a file or an http(s) URL')
    .requiredOption('-o, --output <file>', 'path of the resulting MP4 (required)')
    .option('--overwrite', 'replace an existing output (default: refuse)')
    .option(
      '--server <url>',
      'service that makes the job; its key comes from LIPSYNC_SERVER_KEY (default: this machine)',
    )
    .option('--json', 'print the job as one line of JSON on stdout');
  flags
    .addTo(command)
    .addHelpText('after', modesHelp)
    .action(async (video: string, audio: string, given: GenerateFlags) => {
      const run = given.server === undefined ? generate : generateRemotely;
      const outcome = await run({ video, audio, given }, { definitions, flags, terminal });
      const shown = nameFlags(outcome, flags);
      if (given.json) printJson(shown, given.output, terminal);
      else await printResult(shown, given.output, terminal);
      setExitCode(shown.error === null ? 0 : 1);
    });
}

interface GenerateArguments {
  readonly video: string;
  readonly audio: string;
  readonly given: GenerateFlags;
}

interface GenerateOutcome {
  readonly view: JobView;
  readonly error: { readonly code: string; readonly message: string } | null;
}

interface GenerateTools {
  readonly definitions: readonly ProviderDefinition[];
  readonly flags: OptionFlags;
  readonly terminal: Terminal;
}

async function generate(
  { video, audio, given }: GenerateArguments,
  { definitions, flags, terminal }: GenerateTools,
): Promise<GenerateOutcome> {
  const host = createLocalHost(configFromEnvironment(undefined, definitions));
  const interrupt = interruptSignal();
  const display = createProgressDisplay(terminal.stderr);
  try {
    const options = readOptions(host.optionsSchema, flags, given);
    const { record, error } = await host.localJobs.run(
      { videoPath: video, audioPath: audio, outputPath: given.output, overwrite: given.overwrite ?? false, options },
      { signal: interrupt.signal, onProgress: (update) => display.show(update) },
    );
    return { view: toJobView(record, null), error: error ?? null };
  } finally {
    display.end();
    interrupt.end();
    await host.close();
  }
}

/** Runs the job at a service and downloads its output. An interruption cancels the job. */
async function generateRemotely(
  { video, audio, given }: GenerateArguments,
  { flags, terminal }: GenerateTools,
): Promise<GenerateOutcome> {
  const client = connect(given.server);
  const { output: path, overwrite = false } = given;
  await new OutputFiles().requireFree(resolve(path), overwrite);
  const request = await toRequest({ video, audio }, flags, given);
  const interrupt = interruptSignal();
  const display = createProgressDisplay(terminal.stderr);
  const { signal } = interrupt;
  try {
    const { id } = await namingFlags(flags, () => client.create(request, { signal }));
    const view = await client.waitOrCancel(id, { signal, onProgress: (job) => display.show(job) });
    if (view.status === 'completed') await download(client, id, { path, overwrite, signal });
    return { view, error: view.status === 'completed' ? null : (view.error ?? canceled) };
  } finally {
    display.end();
    interrupt.end();
  }
}

const canceled = { code: 'canceled', message: 'The job was canceled at the service.' };

/** Throws a `UsageError` with every invalid flag. */
export function readOptions(schema: OptionsSchema, flags: OptionFlags, given: GenerateFlags): LipsyncOptions {
  const contradictions = flags.listContradictions(given);
  const parsed = parseRequest(schema, flags.read(given));
  if (parsed.type === 'valid' && contradictions.length === 0) return parsed.value;
  const problems = parsed.type === 'invalid' ? parsed.problems : [];
  throw invalidFlags([...problems.map((problem) => flags.toFlagProblem(problem)), ...contradictions]);
}

/** The job as the terminal shows it: messages name flags instead of request fields. */
interface ShownJob {
  readonly view: JobView;
  readonly error: string | null;
}

function nameFlags({ view, error }: GenerateOutcome, flags: OptionFlags): ShownJob {
  const named = <Said extends { readonly message: string }>(said: Said): Said => ({
    ...said,
    message: flags.nameFlags(said.message),
  });
  return {
    view: { ...named(view), error: view.error && named(view.error), warnings: view.warnings.map(named) },
    error: error ? `${error.code}: ${flags.nameFlags(error.message)}` : null,
  };
}

function printJson({ view }: ShownJob, outputPath: string, { stdout }: Terminal): void {
  writeLine(stdout, JSON.stringify({ ...view, output_path: view.status === 'completed' ? outputPath : null }));
}

async function printResult({ view, error }: ShownJob, outputPath: string, { stdout, stderr }: Terminal): Promise<void> {
  for (const warning of view.warnings) writeLine(stderr, `warning ${warning.code}: ${warning.message}`);
  if (error !== null) return writeLine(stderr, error);
  writeLine(stderr, `Made by ${view.method_used ?? 'copying the clip'}${view.degraded ? ' (degraded)' : ''}.`);
  if (view.quality) {
    // Loaded on demand: it needs every analyzer, which otherwise only the render process loads.
    const { summarizeQuality } = await import('./describe-quality.ts');
    writeLine(stderr, `Quality: ${summarizeQuality(view.quality)}.`);
  }
  writeLine(stdout, outputPath);
}
