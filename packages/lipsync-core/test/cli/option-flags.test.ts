import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addOptionFlags, flaggedOptions } from '../../src/cli/option-flags.ts';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '../../src/contract/index.ts';
import { parseLipsyncOptions } from '../../src/service/parse-options.ts';

/** Every field of a request, none of them at its default. */
const everyOption: Required<LipsyncOptionsInput> = {
  method: 'preview',
  optimize: 'speed',
  heygenMode: 'precision',
  maxCostUsd: 0.5,
  syncMode: 'cut_off',
  silenceMode: 'keep',
  startMs: 100,
  endMs: 2_000,
  allowPreview: true,
  deadlineMs: 60_000,
  priority: 0,
  userId: 'someone',
  metadata: { title: 'Grüße', deep: [1, null] },
};

const commandLine = [
  '--method',
  'preview',
  '--optimize',
  'speed',
  '--heygen-mode',
  'precision',
  '--max-cost-usd',
  '0.5',
  '--sync-mode',
  'cut_off',
  '--silence-mode',
  'keep',
  '--start-ms',
  '100',
  '--end-ms',
  '2000',
  '--allow-preview',
  '--deadline-ms',
  '60000',
  '--priority',
  '0',
  '--user-id',
  'someone',
  '--metadata',
  '{"title":"Grüße","deep":[1,null]}',
];

describe('the flags', () => {
  it('are those of the fields of a request, no more and no fewer', () => {
    const fields = Object.keys(lipsyncOptionsSchema.shape).toSorted();
    expect(flaggedOptions.toSorted()).toEqual(fields);
    expect(Object.keys(everyOption).toSorted()).toEqual(fields);
  });

  it('give each field its value', () => {
    const command = addOptionFlags(new Command()).parse(commandLine, { from: 'user' });
    expect(parseLipsyncOptions(command.opts())).toEqual(everyOption);
  });

  it('leave every field at its default when none is given', () => {
    expect(addOptionFlags(new Command()).parse([], { from: 'user' }).opts()).toEqual({});
  });
});
