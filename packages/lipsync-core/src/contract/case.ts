/** The one place where snake_case (HTTP, CLI, webhooks) and camelCase (TypeScript) meet. */

export function toSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function toCamelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function toKebabCase(name: string): string {
  return toSnakeCase(name).replaceAll('_', '-');
}

type SnakeCase<Name> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : '';

/** The type of a flat object after `renameKeys` with `toSnakeCase`. */
export type SnakeCaseKeys<Value> = { [Name in keyof Value as SnakeCase<Name>]: Value[Name] };

/** Renames the keys of a flat object; values stay as they are. */
export function renameKeys(
  value: Readonly<Record<string, unknown>>,
  rename: (name: string) => string,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [rename(name), inner]));
}
