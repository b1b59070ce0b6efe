/**
 * Tells the person what happens, on stderr: stdout belongs to the command that follows.
 * @param {string} text one line
 */
export function say(text) {
  process.stderr.write(`lipsync: ${text}\n`);
}

/** A reason to stop that needs no stack trace: the message says what to do. */
export class BootstrapError extends Error {
  /** @override */
  name = 'BootstrapError';
}
