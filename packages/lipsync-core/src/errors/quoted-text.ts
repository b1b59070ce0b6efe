const longestQuote = 100;

/** Text from a file as it may appear in a message: quoted, shortened, and whatever could steer a terminal escaped. */
export function quoted(text: string): string {
  const escaped = JSON.stringify(text.slice(0, longestQuote)).replaceAll(/[^\x20-\x7e]/g, escapeUnit);
  return text.length > longestQuote ? `${escaped} and so on` : escaped;
}

/** A line that holds text from files as it may be printed: letters of any script stay, whatever could steer a terminal is escaped. */
export function printable(line: string): string {
  return line.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => character.split('').map(escapeUnit).join(''));
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
