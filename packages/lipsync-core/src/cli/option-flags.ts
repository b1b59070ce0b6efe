import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  heygenModes,
  methods,
  optimizations,
  silenceModes,
  syncModes,
  toKebabCase,
  type LipsyncOptionsInput,
} from '../contract/index.ts';

type OptionName = keyof LipsyncOptionsInput;

interface Flag {
  readonly description: string;
  /** What stands for the value in the help; a flag without one is a switch. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly parse?: (text: string) => unknown;
}

/** Every optional field of a request as a flag; the type makes a missing one a compile error. */
const flags: { readonly [Name in OptionName]: Flag } = {
  method: { value: 'method', choices: methods, description: 'who makes it' },
  optimize: { value: 'goal', choices: optimizations, description: 'what matters most when several could make it' },
  heygenMode: { value: 'mode', choices: heygenModes, description: 'how HeyGen makes it: fast, or better and dearer' },
  syncMode: { value: 'mode', choices: syncModes, description: 'what happens when clip and speech differ in length' },
  silenceMode: { value: 'mode', choices: silenceModes, description: 'what the mouth does while nobody speaks' },
  startMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'use the clip from here' },
  endMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'use the clip up to here' },
  maxCostUsd: { value: 'dollars', parse: parseDollars, description: 'the most that it may cost' },
  allowPreview: { description: 'let the preview engine stand in when nothing better works' },
  deadlineMs: { value: 'milliseconds', parse: parseWholeNumber, description: 'give up after so long' },
  priority: { value: 'number', parse: parseWholeNumber, description: '0 (first) to 10 (last)' },
  userId: { value: 'id', description: 'on whose behalf' },
  metadata: { value: 'json', parse: parseJson, description: 'a JSON object that comes back with the result' },
};

/** Adds the flags to a command; commander stores each under the field's own name. */
export function addOptionFlags(command: Command): Command {
  for (const [name, flag] of Object.entries(flags)) command.addOption(toOption(name, flag));
  return command;
}

/** Names of all fields that have a flag. */
export const flaggedOptions: readonly string[] = Object.freeze(Object.keys(flags));

function toOption(name: string, flag: Flag): Option {
  const words = `--${toKebabCase(name)}`;
  const option = new Option(flag.value ? `${words} <${flag.value}>` : words, flag.description);
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It must be JSON.');
  }
}
