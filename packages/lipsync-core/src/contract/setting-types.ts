import { z } from 'zod';

/** Setting types. Each parses the text of an environment variable; an unset variable yields the default. */

/** Settings as a table: the name of each variable and how its text becomes a value. */
export type Settings = Readonly<Record<string, z.ZodType<unknown, string | undefined>>>;

/** The values of a table of settings. */
export type SettingValues<Table extends Settings = Settings> = {
  readonly [Name in keyof Table]: z.output<Table[Name]>;
};

type Setting<Value> = z.ZodType<Value, string | undefined>;

/** `item` for a set variable, `fallback` for an unset one. Unlike a zod union, it keeps the reasons of `item`. */
function setting<Value>(fallback: Value, item: z.ZodType<Value, string>): Setting<Value> {
  return z
    .string()
    .optional()
    .transform((value, context) => {
      if (value === undefined) return fallback;
      const parsed = item.safeParse(value);
      if (parsed.success) return parsed.data;
      for (const issue of parsed.error.issues) context.addIssue({ code: 'custom', message: issue.message });
      return z.NEVER;
    });
}

/** A non-negative integer in decimal digits, from `minimum` to `maximum`. */
export function wholeNumber(fallback: number, range: { minimum: number; maximum: number }): Setting<number> {
  return setting(fallback, numberIn(/^\d+$/, 'must be a non-negative integer', range));
}

/** A non-negative integer in decimal digits, from `minimum` to `maximum`, or `auto`. */
export function wholeNumberOrAuto(
  fallback: number,
  range: { minimum: number; maximum: number },
): Setting<number | 'auto'> {
  const number = numberIn(/^\d+$/, 'must be a non-negative integer or auto', range);
  const item = z.string().transform((value, context): number | 'auto' => {
    if (value === 'auto') return value;
    const parsed = number.safeParse(value);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) context.addIssue({ code: 'custom', message: issue.message });
    return z.NEVER;
  });
  return setting<number | 'auto'>(fallback, item);
}

/** An integer, optionally negative, from `minimum` to `maximum`. */
export function integer(fallback: number, range: { minimum: number; maximum: number }): Setting<number> {
  return setting(fallback, numberIn(/^-?\d+$/, 'must be an integer', range));
}

function numberIn(
  shape: RegExp,
  otherwise: string,
  { minimum, maximum }: { minimum: number; maximum: number },
): z.ZodType<number, string> {
  return z
    .string()
    .regex(shape, otherwise)
    .transform(Number)
    .pipe(z.number().min(minimum, `must be at least ${minimum}`).max(maximum, `must be at most ${maximum}`));
}

/** A TCP port, 0 for any free one; null when unset. */
export function port(): Setting<number | null> {
  return setting<number | null>(null, numberIn(/^\d+$/, 'must be a TCP port', { minimum: 0, maximum: 65_535 }));
}

/** A number of bytes. */
export function byteCount(fallback: number): Setting<number> {
  return wholeNumber(fallback, { minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
}

/** Seconds in the environment (fractions allowed), milliseconds inside. */
export function millisecondsFromSeconds(fallbackMs: number): Setting<number> {
  const item = z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'must be a number of seconds')
    .transform((value) => Math.round(Number(value) * 1000))
    .pipe(z.number().positive('must be more than 0'));
  return setting(fallbackMs, item);
}

/**
 * Dollars in the environment, integer millionths of a dollar inside. At most six decimals, so that nothing is rounded.
 */
export function microsFromUsd<Fallback extends number | null>(fallbackMicros: Fallback): Setting<number | Fallback> {
  const item = z
    .string()
    .regex(/^\d{1,9}(\.\d{1,6})?$/, 'must be an amount in USD with up to six decimals')
    .transform((value) => Math.round(Number(value) * 1_000_000));
  return setting<number | Fallback>(fallbackMicros, item);
}

/** Milliseconds from a second to ten years; null when unset. */
export function age(): Setting<number | null> {
  return setting<number | null>(
    null,
    numberIn(/^\d+$/, 'must be a number of milliseconds', { minimum: 1_000, maximum: 315_360_000_000 }),
  );
}

/** A number from 0 to 1; null when unset. */
export function share(): Setting<number | null> {
  const item = z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'must be a number from 0 to 1')
    .transform(Number)
    .pipe(z.number().max(1, 'must be at most 1'));
  return setting<number | null>(null, item);
}

/** An http or https URL. */
export function httpUrl(fallback: string): Setting<string> {
  return setting(
    fallback,
    z.string().refine((value) => /^https?:\/\//.test(value) && URL.canParse(value), 'must be an http or https URL'),
  );
}

/** An http or https URL without trailing slashes, to which paths are appended; empty by default. */
export function baseUrl(): Setting<string> {
  const item = z
    .string()
    .transform((value) => value.replace(/\/+$/, ''))
    .refine((value) => value === '' || (/^https?:\/\//.test(value) && URL.canParse(value)), 'must be an http(s) URL');
  return setting('', item);
}

/** Any text. */
export function text(fallback: string): Setting<string> {
  return setting(fallback, z.string());
}

/** One of several words. */
export function oneOf<Value extends string>(values: readonly Value[], fallback: Value): Setting<Value> {
  return setting(fallback, z.enum(values, `must be ${values.join(', ').replace(/, ([^,]+)$/, ' or $1')}`));
}

/** `true` or `false`. */
export function boolean(fallback: boolean): Setting<boolean> {
  return setting(
    fallback,
    z.enum(['true', 'false'], 'must be true or false').transform((value) => value === 'true'),
  );
}

/** Comma-separated items; surrounding spaces and empty items are dropped. */
export function listOf<Item>(item: z.ZodType<Item, string>, fallback: readonly Item[]): Setting<readonly Item[]> {
  const items = z
    .string()
    .transform((value) =>
      value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
    )
    .pipe(z.array(item));
  return setting<readonly Item[]>(fallback, items);
}

/** A redis:// or rediss:// URL; required. */
export function redisUrl(): Setting<string> {
  return text('').refine(
    (value) => /^rediss?:\/\//.test(value) && URL.canParse(value),
    'must be a redis:// or rediss:// URL; npm start can run its own Redis',
  );
}
