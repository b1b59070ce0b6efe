import type { Answer } from './answer.ts';

/** A refusal of the storage that signed links lead to, which speaks XML. */
export function xmlAnswer(status: number, code: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>Refused</Message></Error>`;
  return { status, headers: { 'Content-Type': 'application/xml' }, body };
}
