import { Command, CommanderError } from 'commander';
import { toLipsyncError } from '../errors/index.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addGenerateCommand } from './generate-command.ts';
import { addModelsCommand } from './models-command.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { providerDefinitions } from '../providers/registry.ts';
import { writeLine, type Terminal } from './terminal.ts';

const usageExitCode = 2;

/** The command-line interface. `run` resolves with the exit code: 0 on success, 1 on failure, 2 for invalid usage. */
export function createCommandLine(
  terminal: Terminal,
  definitions: readonly ProviderDefinition[] = providerDefinitions,
): { run(args: readonly string[]): Promise<number> } {
  return {
    async run(args) {
      let exitCode = 0;
      const program = new Command('lipsync')
        .description('Lip-sync: make the person in a clip speak an audio recording.')
        .exitOverride()
        .configureOutput({
          writeOut: (text) => terminal.stdout.write(text),
          writeErr: (text) => terminal.stderr.write(text),
        });
      const setExitCode = (code: number): void => {
        exitCode = code;
      };
      addGenerateCommand(program, terminal, definitions, setExitCode);
      addDoctorCommand(program, terminal, definitions, setExitCode);
      addModelsCommand(program, terminal, definitions, setExitCode);
      try {
        await program.parseAsync([...args], { from: 'user' });
        return exitCode;
      } catch (thrown) {
        if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : usageExitCode;
        const error = toLipsyncError(thrown);
        writeLine(terminal.stderr, `${error.code}: ${error.message}`);
        return 1;
      }
    },
  };
}
