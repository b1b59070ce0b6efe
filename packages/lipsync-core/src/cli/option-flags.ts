import { readFileSync, statSync } from 'node:fs';
import { Option, type Command } from 'commander';
import {
  labelCorners,
  labelLanguages,
  parseJson,
  renameKeys,
  toCamelCase,
  toKebabCase,
  toSnakeCase,
  type LipsyncOptions,
  type ProviderOptionValues,
  type RequestProblem,
} from '../contract/index.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { invalidFlags, type FlagProblem } from './usage-error.ts';

interface Flag {
  readonly description: string;
  /** Placeholder for the value in the help text; a flag without one is a switch. */
  readonly value?: string;
  /** How the text becomes a value; text stays text by default. Text that does not fit is left to the schema to refuse. */
  readonly kind?: 'number' | 'json' | 'jsonFile';
  /** A switch `--no-<name>` that sets false. */
  readonly isNegated?: boolean;
  /** Left out of the help text: other flags do the same. */
  readonly isHidden?: boolean;
}

/** Flags of the fields that every kind of request has. */
const jobFlags = {
  deadlineMs: {
    value: 'milliseconds',
    kind: 'number',
    description: 'time after which the job fails, 1000 to 86400000 (default: none)',
  },
  priority: {
    value: 'number',
    kind: 'number',
    description: '0 (first) to 10 (last); has an effect in the queue only (default: 5)',
  },
  userId: { value: 'id', description: 'user to whom the cost is charged, up to 200 characters (default: none)' },
  metadata: {
    value: 'json',
    kind: 'json',
    description: 'JSON object of up to 16 KiB that is returned with the result (default: {})',
  },
  webhookUrl: {
    value: 'url',
    description: 'receiver of the end of the job; for jobs of a service only (default: none)',
  },
} as const satisfies Readonly<Record<string, Flag>>;

const consentFlag = {
  value: 'file',
  kind: 'jsonFile',
  description:
    'JSON file with the consent of the person shown: subject, scope, and optionally expires_at and reference ' +
    '(default: none)',
} as const satisfies Flag;

/** Flags of the label and the metadata of an output. */
const markFlags = {
  visibleLabel: {
    value: 'language',
    description: `visible label at the start of the output: ${listChoices(labelLanguages)} (default: LIPSYNC_VISIBLE_LABEL)`,
  },
  labelCorner: {
    value: 'corner',
    description: `where the label is drawn: ${listChoices(labelCorners)} (default: LIPSYNC_LABEL_CORNER)`,
  },
  aigcProducer: {
    value: 'name',
    description:
      'producer in the AIGC metadata of the output, which China requires, up to 100 characters (default: ' +
      'LIPSYNC_AIGC_PRODUCER)',
  },
} as const satisfies Readonly<Record<string, Flag>>;

/** Every optional field of a request as a flag; the type makes a missing one a compile error. */
function requestFlags(
  methods: readonly string[],
  optimize: string,
): { readonly [Name in keyof LipsyncOptions]-?: Flag } {
  return {
    method: { value: 'method', description: `provider: ${listChoices(methods)} (default: auto)` },
    optimize: {
      value: 'goal',
      description:
        'which provider auto tries first: quality (the cloud), balanced (the cloud below 30 s), cost (the local ' +
        `engine; preview is not one) or speed (the earliest to finish) (default: ${optimize})`,
    },
    providerOptions: {
      value: 'json',
      kind: 'json',
      isHidden: true,
      description: 'options of single providers, by provider',
    },
    audioTrack: {
      value: 'number',
      kind: 'number',
      description:
        'audio track of the speech file, counted from 1 (default: its default track, or the first that works)',
    },
    syncMode: {
      value: 'mode',
      description:
        'when clip and speech differ in length: loop, bounce, cut_off, silence or remap, see below (default: loop)',
    },
    silenceMode: {
      value: 'mode',
      description: 'the mouth in pauses: close, keep or generate, see below (default: close)',
    },
    startMs: {
      value: 'milliseconds',
      kind: 'number',
      description: 'start of the part of the clip to use (default: its start)',
    },
    endMs: {
      value: 'milliseconds',
      kind: 'number',
      description: 'end of the part of the clip to use (default: its end)',
    },
    maxCostUsd: {
      value: 'usd',
      kind: 'number',
      description: 'maximum cost of all attempts together, 0 to 10000 (default: no limit)',
    },
    allowPreview: { description: 'allow the preview provider as the last resort (default: no)' },
    minSyncScore: {
      value: 'number',
      kind: 'number',
      description:
        'lowest accepted sync score, 0 to 1; below it another provider is tried; needs SYNCNET_MODEL_PATH (default: ' +
        'LIPSYNC_MIN_SYNC_SCORE)',
    },
    qualityWindows: {
      value: 'windows',
      description: 'what the sync score covers: spread (up to 10 s, spread over the video) or all (default: spread)',
    },
    ...markFlags,
    consent: consentFlag,
    cache: {
      isNegated: true,
      description: 'render again where an equal result exists; has an effect in the queue only (default: reuse it)',
    },
    webhookProgress: { description: 'also send the progress to --webhook-url, at most every 30 s (default: no)' },
    ...jobFlags,
  };
}

/** Help on the modes, shown below the flags. */
export const modesHelp = `
Sync modes:
  mode      speech longer than clip         speech shorter than clip
  loop      clip starts again               clip ends with the speech
  bounce    clip runs back and forth        clip ends with the speech
  cut_off   speech ends with the clip       clip ends with the speech
  silence   last frame is held              whole clip, speech padded with silence
  remap     clip stretched to the speech    clip compressed to the speech

Silence modes, for the local providers:
  close     the mouth closes in pauses
  keep      pauses show the mouth of the clip
  generate  the mouth follows the audio in pauses too`;

/** The request flags of a command, and the request that they describe. */
export class OptionFlags {
  readonly #definitions: readonly ProviderDefinition[];
  readonly #requestFlags: Readonly<Record<string, Flag>>;

  /** `optimize` is the default that the help states. */
  constructor(definitions: readonly ProviderDefinition[], optimize: LipsyncOptions['optimize'] = 'quality') {
    this.#definitions = definitions;
    this.#requestFlags = requestFlags(['auto', ...definitions.map(({ id }) => id)], optimize);
  }

  addTo(command: Command): Command {
    for (const [name, flag] of Object.entries(this.#requestFlags)) command.addOption(toOption(toKebabCase(name), flag));
    for (const { id, options } of this.#definitions)
      for (const [option, flag] of Object.entries(options.flags))
        command.addOption(toOption(flagName(id, option), flag));
    return command;
  }

  /** The request options in what commander parsed, before validation. */
  read(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const request = Object.fromEntries(
      Object.entries(given).flatMap(([name, value]) => {
        const flag = this.#requestFlags[name];
        // commander sets every switch that is negated to true.
        const isGiven = flag && !(flag.isNegated && value === true);
        if (!isGiven) return [];
        return [[name, flag.kind === 'jsonFile' ? readJsonFile(name, value) : readValue(flag, value)] as const];
      }),
    );
    const providerOptions = this.#readProviderOptions(given);
    if (Object.keys(providerOptions).length === 0) return request;
    const { providerOptions: inJson } = request;
    return { ...request, providerOptions: mergeProviderOptions(inJson, providerOptions) };
  }

  /** Flags of provider options that contradict `--provider-options`. */
  listContradictions(given: Readonly<Record<string, unknown>>): readonly FlagProblem[] {
    const inJson = readValue({ kind: 'json' }, given['providerOptions']);
    return Object.entries(this.#readProviderOptions(given)).flatMap(([id, values]) => {
      const known = isObject(inJson) && isObject(inJson[id]) ? inJson[id] : {};
      return Object.entries(values)
        .filter(([option, value]) => known[option] !== undefined && known[option] !== value)
        .map(([option]) => ({ flag: `--${flagName(id, option)}`, message: 'contradicts --provider-options' }));
    });
  }

  /** The same problem under the name of its flag. */
  toFlagProblem({ path, message }: RequestProblem): FlagProblem {
    const [field = '', id = '', option = ''] = path;
    const definition = this.#definitions.find((provider) => provider.id === id);
    if (field === 'providerOptions' && definition && Object.hasOwn(definition.options.flags, option))
      return { flag: `--${flagName(id, option)}`, message };
    const flag = this.#requestFlags[field];
    const inner = path
      .slice(1)
      .map((name) => (flag?.kind === 'jsonFile' ? toSnakeCase(name) : name))
      .join('.');
    return {
      flag: `--${toKebabCase(field)}`,
      message: `${inner && `${inner} `}${flag?.kind === 'json' ? message.replace('an object', 'a JSON object') : message}`,
    };
  }

  /** `text` with flags and arguments in place of the request fields that it names, such as `start_ms`. */
  nameFlags(text: string): string {
    const names = Object.keys(this.#requestFlags).filter((name) => toSnakeCase(name) !== name);
    return names
      .reduce(
        (named, name) => named.replaceAll(new RegExp(`\\b${toSnakeCase(name)}\\b`, 'g'), `--${toKebabCase(name)}`),
        text,
      )
      .replaceAll(/\b(video|audio)_url\b/g, '<$1>');
  }

  #readProviderOptions(given: Readonly<Record<string, unknown>>): Readonly<Record<string, ProviderOptionValues>> {
    const entries = this.#definitions.flatMap(({ id, options }) => {
      const values = Object.entries(options.flags).flatMap(([option, flag]) => {
        const value = given[new Option(`--${flagName(id, option)} <value>`).attributeName()];
        return value === undefined ? [] : [[option, readValue(flag, value)] as const];
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

function toOption(name: string, { value, description, isNegated = false, isHidden = false }: Flag): Option {
  const flag = `--${isNegated ? 'no-' : ''}${name}`;
  return new Option(value ? `${flag} <${value}>` : flag, description).hideHelp(isHidden);
}

function readValue({ kind }: Pick<Flag, 'kind'>, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  switch (kind) {
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    case 'json':
      return readJson(value);
    default:
      return value;
  }
}

/** Text that is not JSON stays text. */
function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

const maxJsonFileBytes = 65_536;

/** The object in a file, whose names are those of HTTP. Throws a `UsageError` for a file without one. */
function readJsonFile(name: string, path: unknown): unknown {
  const refuse = (message: string) => invalidFlags([{ flag: `--${toKebabCase(name)}`, message }]);
  const value = readJson(readSmallFile(String(path), refuse));
  if (!isObject(value)) throw refuse('must be a file with a JSON object');
  const unknown = Object.keys(value).find((field) => toSnakeCase(field) !== field);
  if (unknown !== undefined) throw refuse(`${unknown} is not a known field`);
  return renameKeys(value, toCamelCase);
}

function readSmallFile(path: string, refuse: (message: string) => Error): string {
  try {
    const stats = statSync(path);
    if (stats.isFile() && stats.size <= maxJsonFileBytes) return readFileSync(path, 'utf8');
  } catch {
    throw refuse(`names the file "${path}", which does not exist or cannot be read`);
  }
  throw refuse(`must be a file of at most ${maxJsonFileBytes} bytes`);
}

function listChoices(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1) ?? ''}`;
}
