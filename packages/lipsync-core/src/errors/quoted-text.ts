const maxQuoteLength = 100;

/** Untrusted text for a message: quoted, truncated, and with every non-ASCII and control character escaped. */
export function quoted(text: string): string {
  const escaped = JSON.stringify(text.slice(0, maxQuoteLength)).replaceAll(/[^\x20-\x7e]/g, escapeUnit);
  return text.length > maxQuoteLength ? `${escaped} and so on` : escaped;
}

/** Untrusted text for a terminal: keeps letters of any script and escapes control and formatting characters. */
export function printable(line: string): string {
  return line.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => character.split('').map(escapeUnit).join(''));
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
