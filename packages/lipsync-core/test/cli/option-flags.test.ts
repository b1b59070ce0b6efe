import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { OptionFlags } from '../../src/cli/option-flags.ts';
import {
  createOptionsSchema,
  lipsyncOptionsSchema,
  parseRequest,
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
  visibleLabel: 'zh',
  labelCorner: 'bottom_right',
  aigcProducer: '制作者 A',
  consent: { subject: 'Ada', scope: 'one film', expiresAt: '2999-01-31T00:00:00Z', reference: 'A-17' },
  webhookProgress: true,
  webhookUrl: 'https://example.org/hook',
};

const folder = mkdtempSync(join(tmpdir(), 'lipsync-flags-'));
afterAll(() => rmSync(folder, { recursive: true }));

function consentFile(content: string): string {
  const path = join(folder, `consent-${content.length}.json`);
  writeFileSync(path, content);
  return path;
}

const commandLine = [
  '--consent',
  consentFile('{"subject":"Ada","scope":"one film","expires_at":"2999-01-31T00:00:00Z","reference":"A-17"}'),
  '--visible-label',
  'zh',
  '--label-corner',
  'bottom_right',
  '--aigc-producer',
  '制作者 A',
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

  it.each([
    ['a file that does not exist', () => join(folder, 'none.json'), /^--consent names the file ".*none\.json", which /],
    ['a folder', () => folder, /^--consent must be a file of at most 65536 bytes\.$/],
    ['too large a file', () => consentFile(' '.repeat(70_000)), /^--consent must be a file of at most 65536 bytes\.$/],
    ['no JSON', () => consentFile('{'), /^--consent must be a file with a JSON object\.$/],
    ['a list', () => consentFile('[]'), /^--consent must be a file with a JSON object\.$/],
    ['a name in another spelling', () => consentFile('{"expiresAt":"x"}'), /^--consent expiresAt is not a known field/],
  ])('--consent with %s is refused with a reason.', (_, path, reason) => {
    expect(() => parse(['--consent', path()])).toThrow(reason);
  });

  it('A problem in the file of --consent is named as in the file.', () => {
    const read = flags.read({ consent: consentFile('{"subject":"","expires_at":"soon"}') });
    const parsed = parseRequest(optionsSchema, read);
    const problems = parsed.type === 'invalid' ? parsed.problems.map((problem) => flags.toFlagProblem(problem)) : [];
    expect(problems).toEqual([
      { flag: '--consent', message: 'subject must not be empty' },
      { flag: '--consent', message: 'scope is missing' },
      {
        flag: '--consent',
        message: 'expires_at must be a date and time with a zone, such as 2027-01-31T00:00:00Z',
      },
    ]);
  });

  it('Without flags every field keeps its default.', () => {
    expect(flags.read(flags.addTo(new Command()).parse([], { from: 'user' }).opts())).toEqual({});
  });
});
