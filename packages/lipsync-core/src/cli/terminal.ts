import type { WriteStream } from 'node:tty';

/** Where a command writes: results to stdout, everything else to stderr. */
export interface Terminal {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: WriteStream | NodeJS.WritableStream;
}

/** Writes one line. */
export function writeLine(stream: NodeJS.WritableStream, line: string): void {
  stream.write(`${line}\n`);
}
