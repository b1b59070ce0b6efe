/** Limits of long texts, far above those of any request: millions of levels or values take seconds. */
const longText = 65_536;
const maxDepth = 200;
const maxValues = 250_000;
/** Whole numbers with fewer characters keep all digits. */
const minLostLength = 16;

/**
 * `JSON.parse` for text of a caller. A number that JavaScript cannot hold becomes infinite: a whole number that would lose
 * digits, or one beyond the largest number. Schemas refuse it, so that it is never silently another number. Throws a
 * `SyntaxError` for text that is not JSON, and a `JsonLimitError` for one of more than 64 KiB that is nested too deeply or
 * has too many values.
 */
export function parseJson(text: string): unknown {
  // A reviver, which sees the text of each number, takes seconds for the largest bodies.
  return JSON.parse(withoutLostDigits(text));
}

/** Text that takes too long to parse. */
export class JsonLimitError extends SyntaxError {
  /** Continues the name of the text in a sentence. */
  readonly problem: string;

  constructor(problem: string) {
    super(`The JSON ${problem}.`);
    this.name = 'JsonLimitError';
    this.problem = problem;
  }
}

const [quote, backslash, comma, openBracket, closeBracket, openBrace, closeBrace] = Array.from(
  '"\\,[]{}',
  (character) => character.charCodeAt(0),
);

/** Replaces whole numbers that would lose digits. Throws a `JsonLimitError`. */
function withoutLostDigits(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  let depth = 0;
  let values = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === quote) index = endOfString(text, index);
    else if (code === comma) values += 1;
    else if (code === openBracket || code === openBrace) {
      depth += 1;
      values += 1;
    } else if (code === closeBracket || code === closeBrace) depth -= 1;
    else if (isInNumber(code)) {
      const end = endOfNumber(text, index);
      if (end - index >= minLostLength && losesDigits(text.slice(index, end))) {
        parts.push(text.slice(copied, index), '1e999');
        copied = end;
      }
      index = end - 1;
    }
    if (text.length > longText) {
      if (depth > maxDepth) throw new JsonLimitError(`is nested deeper than ${maxDepth} levels`);
      if (values > maxValues) throw new JsonLimitError(`has more than ${maxValues} values`);
    }
  }
  return parts.length === 0 ? text : [...parts, text.slice(copied)].join('');
}

/** Index of the quote that closes the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length && text.charCodeAt(index) !== quote) index += text.charCodeAt(index) === backslash ? 2 : 1;
  return index;
}

function endOfNumber(text: string, start: number): number {
  let index = start;
  while (index < text.length && isInNumber(text.charCodeAt(index))) index += 1;
  return index;
}

/** Whether a character code is that of a digit, a sign, a period or an exponent. */
function isInNumber(code: number): boolean {
  return (code >= 48 && code <= 57) || code === 43 || code === 45 || code === 46 || code === 69 || code === 101;
}

function losesDigits(source: string): boolean {
  const value = Number(source);
  return /^-?\d+$/.test(source) && Number.isFinite(value) && BigInt(source) !== BigInt(value);
}

const notKept = 'is a number that cannot be kept exactly: send it as text';

/** What is wrong with a value inside of an object that is kept as JSON. */
export interface JsonProblem {
  /** Keys and indexes from the outermost object. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/**
 * Finds a value that does not survive being stored as JSON: a number that is not finite, a key `__proto__`, text that is
 * not Unicode, or a type that JSON lacks. Recursive: the caller limits the depth first.
 */
export function findJsonProblem(value: unknown, path: readonly (string | number)[] = []): JsonProblem | undefined {
  const refuse = (message: string): JsonProblem => ({ path, message });
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : refuse(notKept);
  if (typeof value === 'string') return value.isWellFormed() ? undefined : refuse('is not valid Unicode text');
  if (Array.isArray(value)) return findFirst(value.map((item, index) => findJsonProblem(item, [...path, index])));
  if (!isPlainObject(value)) return refuse('is not a JSON value');
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  const unfit = entries.find(([key]) => key === '__proto__' || !key.isWellFormed());
  if (unfit) return { path, message: `has a key that cannot be kept: ${JSON.stringify(unfit[0])}` };
  return findFirst(entries.map(([key, inner]) => findJsonProblem(inner, [...path, key])));
}

function findFirst(problems: readonly (JsonProblem | undefined)[]): JsonProblem | undefined {
  return problems.find((problem) => problem !== undefined);
}

/** Whether a value is what `{}` or `JSON.parse` makes, and no instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
