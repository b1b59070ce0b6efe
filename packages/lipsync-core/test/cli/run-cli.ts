import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createCommandLine } from '../../src/cli/command-line.ts';
import type { ProviderDefinition } from '../../src/providers/definition.ts';
import { providerDefinitions } from '../../src/providers/registry.ts';

export interface CliOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line inside this process, with streams that are no terminal. */
export function runCli(...args: readonly string[]): Promise<CliOutcome> {
  return runCliWith(providerDefinitions, ...args);
}

/** Runs the command line with these providers. */
export async function runCliWith(
  definitions: readonly ProviderDefinition[],
  ...args: readonly string[]
): Promise<CliOutcome> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const written = Promise.all([text(stdout), text(stderr)]);
  const exitCode = await createCommandLine({ stdout, stderr }, definitions).run(args);
  stdout.end();
  stderr.end();
  const [out, err] = await written;
  return { exitCode, stdout: out, stderr: err };
}
