import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { OptionFlags } from '../../src/cli/option-flags.ts';
import {
  createOptionsSchema,
  lipsyncOptionsSchema,
  toKebabCase,
  type LipsyncOptions,
} from '../../src/contract/index.ts';
import { providerDefinitions } from '../../src/providers/registry.ts';
import { parseInput } from '../../src/service/parse-input.ts';

/** Every field of a request, none of them at its default. */
const everyOption: Required<LipsyncOptions> = {
  method: 'preview',
  optimize: 'speed',
  providerOptions: { heygen: { mode: 'precision' }, wav2lip: {}, preview: {} },
  maxCostUsd: 0.5,
  audioTrack: 2,
  syncMode: 'cut_off',
  silenceMode: 'keep',
  startMs: 100,
  endMs: 2_000,
  allowPreview: true,
  minSyncScore: 0.7,
  qualityWindows: 'all',
  cache: false,
  deadlineMs: 60_000,
  priority: 0,
  userId: 'user-1',
  metadata: { title: 'Grüße', deep: [1, null] },
  webhookProgress: true,
  webhookUrl: 'https://example.org/hook',
};

const commandLine = [
  '--webhook-progress',
  '--no-cache',
  '--method',
  'preview',
  '--optimize',
  'speed',
  '--provider-options',
  '{"preview":{}}',
  '--heygen-mode',
  'precision',
  '--max-cost-usd',
  '0.5',
  '--audio-track',
  '2',
  '--sync-mode',
  'cut_off',
  '--silence-mode',
  'keep',
  '--start-ms',
  '100',
  '--end-ms',
  '2000',
  '--allow-preview',
  '--min-sync-score',
  '0.7',
  '--quality-windows',
  'all',
  '--deadline-ms',
  '60000',
  '--priority',
  '0',
  '--user-id',
  'user-1',
  '--metadata',
  '{"title":"Grüße","deep":[1,null]}',
  '--webhook-url',
  'https://example.org/hook',
];

const flags = new OptionFlags(providerDefinitions);
const optionsSchema = createOptionsSchema(providerDefinitions);

function parse(args: readonly string[]) {
  return parseInput(optionsSchema, flags.read(flags.addTo(new Command()).parse(args, { from: 'user' }).opts()));
}

describe('command-line flags', () => {
  it('There is a flag for every field of a request and for every provider option.', () => {
    const names = flags.addTo(new Command()).options.map(({ long }) => long?.replace(/^--(no-)?/, '') ?? '');
    const fields = Object.keys(lipsyncOptionsSchema.shape).map(toKebabCase);
    const options = providerDefinitions.flatMap(({ id, options: { schema } }) =>
      Object.keys(schema.shape).map((option) => `${id}-${toKebabCase(option)}`),
    );
    expect(names.toSorted()).toEqual([...fields, ...options].toSorted());
    expect(Object.keys(everyOption).toSorted()).toEqual(Object.keys(lipsyncOptionsSchema.shape).toSorted());
  });

  it('Each flag sets its field.', () => {
    expect(parse(commandLine)).toEqual(everyOption);
  });

  it('A flag of a provider option that contradicts --provider-options is refused, as in a request.', () => {
    const json = ['--provider-options', '{"heygen":{"mode":"speed"},"preview":{}}'];
    expect(parse(json).providerOptions).toMatchObject({ heygen: { mode: 'speed' } });
    expect(parse([...json, '--heygen-mode', 'speed']).providerOptions).toMatchObject({ heygen: { mode: 'speed' } });
    const given = flags
      .addTo(new Command())
      .parse([...json, '--heygen-mode', 'precision'], { from: 'user' })
      .opts();
    expect(flags.listContradictions(given)).toEqual([
      { flag: '--heygen-mode', message: 'contradicts --provider-options' },
    ]);
  });

  it('Without flags every field keeps its default.', () => {
    expect(flags.read(flags.addTo(new Command()).parse([], { from: 'user' }).opts())).toEqual({});
  });
});
