/** Parses a line of output as a JSON object, such as a log record; undefined for any other line. */
export function parseRecord(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    // `as`: text that starts with a brace and is valid JSON is an object.
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

export function isLogRecord(line: string): boolean {
  return parseRecord(line) !== undefined;
}

/** The line as a person reads it: the message of a log record. */
export function readableLine(line: string): string {
  const message = parseRecord(line)?.['msg'];
  return typeof message === 'string' ? message : line;
}
