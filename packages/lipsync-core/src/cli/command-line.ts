import { LipsyncClientError } from '@lipsync/client';
import { Command, CommanderError } from 'commander';
import { readVersion } from '../config/version.ts';
import { toLipsyncError, type LipsyncError } from '../errors/index.ts';
import { addBatchCommand } from './batch-command.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addGenerateCommand } from './generate-command.ts';
import { addServiceCommands } from './service-commands.ts';
import { addQualityCommand } from './quality-command.ts';
import { addModelsCommand } from './models-command.ts';
import { addVerifyCommand } from './verify-command.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { providerDefinitions } from '../providers/registry.ts';
import { writeLine, type Terminal } from './terminal.ts';
import { describeFlagProblem, UsageError } from './usage-error.ts';

const usageExitCode = 2;

/** The command-line interface. `run` resolves with the exit code: 0 on success, 1 on failure, 2 for invalid usage. */
export function createCommandLine(
  terminal: Terminal,
  definitions: readonly ProviderDefinition[] = providerDefinitions,
): { run(args: readonly string[]): Promise<number> } {
  return {
    async run(args) {
      let exitCode = 0;
      const program = createProgram(terminal, definitions, (code) => {
        exitCode = code;
      });
      try {
        await program.parseAsync([...args], { from: 'user' });
        return exitCode;
      } catch (thrown) {
        if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
        return printFailure(thrown, args, terminal);
      }
    },
  };
}

function createProgram(
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): Command {
  const program = new Command('lipsync')
    .description('Lip-sync: make the person in a clip speak an audio recording.')
    .version(readVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', '\nEvery command has its own help, for example: generate --help')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      // `printFailure` prints errors.
      outputError: () => undefined,
    });
  addGenerateCommand(program, terminal, definitions, setExitCode);
  addQualityCommand(program, terminal, definitions, setExitCode);
  addVerifyCommand(program, terminal, definitions, setExitCode);
  addBatchCommand(program, terminal, definitions, setExitCode);
  addServiceCommands(program, terminal, definitions, setExitCode);
  addDoctorCommand(program, terminal, definitions, setExitCode);
  addModelsCommand(program, terminal, definitions, setExitCode);
  return program;
}

/**
 * Prints why nothing was done: with `--json` as the one line of stdout, else on stderr with one line per invalid flag.
 * Returns the exit code.
 */
function printFailure(thrown: unknown, args: readonly string[], { stdout, stderr }: Terminal): number {
  const error = thrown instanceof CommanderError ? toUsageError(thrown) : toFailure(thrown);
  const problems = error instanceof UsageError ? error.problems : [];
  const exitCode = error instanceof UsageError ? usageExitCode : 1;
  const hint = error instanceof LipsyncClientError ? serviceHints.get(error.code) : undefined;
  const message = hint === undefined ? error.message : `${error.message} ${hint}`;
  if (args.includes('--json')) {
    const { code } = error;
    const retryable = error instanceof LipsyncClientError ? error.retryable : error.policy.retryable;
    const output = args[0] === 'generate' ? { output_path: null } : {};
    const failure = {
      status: 'failed',
      error: { code, message, retryable },
      errors: problems,
      ...output,
    };
    writeLine(stdout, JSON.stringify(failure));
    return exitCode;
  }
  // Without a command, commander has printed the help.
  if (error.message === '') return exitCode;
  const lines = problems.length === 0 ? [message] : problems.map(describeFlagProblem);
  for (const line of lines) writeLine(stderr, `${exitCode === usageExitCode ? 'error' : error.code}: ${line}`);
  return exitCode;
}

/** How to correct what a service cannot know about this command line. */
const serviceHints: ReadonlyMap<string, string> = new Map([
  ['unauthorized', 'LIPSYNC_SERVER_KEY must be the secret of a key of the service.'],
  ['connection_failed', '--server or LIPSYNC_SERVER_URL selects another service.'],
]);

/** Errors of a service keep their code. */
function toFailure(thrown: unknown): LipsyncError | LipsyncClientError {
  return thrown instanceof LipsyncClientError ? thrown : toLipsyncError(thrown);
}

function toUsageError({ code, message }: CommanderError): UsageError {
  return new UsageError(code === 'commander.help' ? '' : message.replace(/^error: /, ''));
}
