import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  optimizations,
  parseJson,
  silenceModes,
  syncModes,
  toKebabCase,
  type LipsyncOptions,
  type ProviderOptionValues,
} from '../contract/index.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { LipsyncError } from '../errors/index.ts';

interface Flag {
  readonly description: string;
  /** Placeholder for the value in the help text; a flag without one is a switch. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly parse?: (text: string) => unknown;
}

/** Every optional field of a request as a flag; the type makes a missing one a compile error. */
function requestFlags(methods: readonly string[]): { readonly [Name in keyof LipsyncOptions]-?: Flag } {
  return {
    method: { value: 'method', choices: methods, description: 'provider of the video' },
    optimize: { value: 'goal', choices: optimizations, description: 'what decides between several providers' },
    providerOptions: { value: 'json', parse: readJson, description: 'options of single providers, by provider' },
    syncMode: { value: 'mode', choices: syncModes, description: 'what happens when clip and speech differ in length' },
    silenceMode: { value: 'mode', choices: silenceModes, description: 'what the mouth does in pauses' },
    startMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'start of the part of the clip to use' },
    endMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'end of the part of the clip to use' },
    maxCostUsd: { value: 'dollars', parse: parseDollars, description: 'maximum cost' },
    allowPreview: { description: 'fall back to the preview engine when nothing better works' },
    deadlineMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'time after which the job fails' },
    priority: { value: 'number', parse: parseWholeNumber, description: '0 (first) to 10 (last)' },
    userId: { value: 'id', description: 'user to whom the cost is charged' },
    metadata: { value: 'json', parse: readJson, description: 'JSON object that is returned with the result' },
  };
}

/** The request flags of a command, and the request that they describe. */
export class OptionFlags {
  readonly #definitions: readonly ProviderDefinition[];
  readonly #requestFlags: Readonly<Record<string, Flag>>;

  constructor(definitions: readonly ProviderDefinition[]) {
    this.#definitions = definitions;
    this.#requestFlags = requestFlags(['auto', ...definitions.map(({ id }) => id)]);
  }

  addTo(command: Command): Command {
    for (const [name, flag] of Object.entries(this.#requestFlags)) command.addOption(toOption(toKebabCase(name), flag));
    for (const { id, options } of this.#definitions)
      for (const [option, flag] of Object.entries(options.flags))
        command.addOption(toOption(flagName(id, option), flag));
    return command;
  }

  /**
   * The request options in what commander parsed, before validation. Throws `request_invalid` when the flag of an option
   * contradicts `--provider-options`.
   */
  read(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const request = Object.fromEntries(Object.entries(given).filter(([name]) => name in this.#requestFlags));
    const providerOptions = this.#readProviderOptions(given);
    if (Object.keys(providerOptions).length === 0) return request;
    const { providerOptions: inJson } = request;
    return { ...request, providerOptions: mergeProviderOptions(inJson, providerOptions) };
  }

  #readProviderOptions(given: Readonly<Record<string, unknown>>): Readonly<Record<string, ProviderOptionValues>> {
    const entries = this.#definitions.flatMap(({ id, options }) => {
      const values = Object.keys(options.flags).flatMap((option) => {
        const value = given[new Option(`--${flagName(id, option)} <value>`).attributeName()];
        return value === undefined ? [] : [[option, value] as const];
      });
      return values.length === 0 ? [] : [[id, Object.fromEntries(values)] as const];
    });
    return Object.fromEntries(entries);
  }
}

function mergeProviderOptions(
  inJson: unknown,
  byFlag: Readonly<Record<string, ProviderOptionValues>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = isObject(inJson) ? { ...inJson } : {};
  for (const [id, values] of Object.entries(byFlag)) {
    const known = isObject(merged[id]) ? merged[id] : {};
    for (const [option, value] of Object.entries(values)) {
      if (known[option] !== undefined && known[option] !== value)
        throw new LipsyncError('request_invalid', `--${flagName(id, option)} contradicts --provider-options.`);
    }
    merged[id] = { ...known, ...values };
  }
  return merged;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function flagName(id: string, option: string): string {
  return `${id}-${toKebabCase(option)}`;
}

function toOption(name: string, flag: Flag): Option {
  const option = new Option(flag.value ? `--${name} <${flag.value}>` : `--${name}`, flag.description);
  if (flag.choices) option.choices(flag.choices);
  if (flag.parse) option.argParser(flag.parse);
  return option;
}

function parseWholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function parseDollars(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It must be an amount like 0.5.');
  return Number(text);
}

function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new InvalidArgumentError('It must be JSON.');
  }
}
