/**
 * Prints a status line on stderr; stdout belongs to the command that follows.
 * @param {string} text one line
 */
export function printStatus(text) {
  process.stderr.write(`lipsync: ${text}\n`);
}

/** An error that is printed without a stack trace; its message states what to do. */
export class BootstrapError extends Error {
  /** @override */
  name = 'BootstrapError';
}
