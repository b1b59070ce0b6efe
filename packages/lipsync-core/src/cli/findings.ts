import { printable } from '../errors/quoted-text.ts';
import { type Terminal, interruptSignal, writeLine } from './terminal.ts';

/** Result of a subcommand: the exit code, its JSON, and its lines for a terminal. */
export interface Findings {
  readonly exitCode: number;
  readonly json: object;
  readonly stderr?: readonly string[];
  readonly stdout: readonly string[];
}

/** Prints the findings and returns the exit code. */
export async function printFindings(
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
  } finally {
    interrupt.end();
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
