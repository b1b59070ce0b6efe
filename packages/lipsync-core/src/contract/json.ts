/**
 * `JSON.parse` for text of a caller. A number that JavaScript cannot hold becomes NaN: an integer that would lose digits,
 * or one beyond the largest number. Schemas refuse NaN, so that it is never silently another number.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, keepExactNumber);
  } catch (error) {
    // Only with a reviver, deep nesting exceeds the stack. Schemas limit the depth.
    if (error instanceof RangeError) return JSON.parse(text);
    throw error;
  }
}

function keepExactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const { source } = context ?? {};
  if (typeof value !== 'number' || source === undefined) return value;
  if (!Number.isFinite(value)) return NaN;
  return !/^-?\d+$/.test(source) || BigInt(source) === BigInt(value) ? value : NaN;
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
