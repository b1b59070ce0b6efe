/** The control API speaks snake_case, TypeScript camelCase; here is where one becomes the other. */

const toCamelCase = (name: string): string =>
  name.replaceAll(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
const toSnakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The same value with every key of every object inside it in camelCase; values are left alone. */
export const camelCased = (value: unknown): unknown => renamed(value, toCamelCase);

/** The same value with every key of every object inside it in snake_case; values are left alone. */
export const snakeCased = (value: unknown): unknown => renamed(value, toSnakeCase);

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [rename(name), renamed(inner, rename)]));
}
