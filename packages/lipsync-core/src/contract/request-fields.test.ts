import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { optionsSchemaOf } from '../host.ts';
import { configFromEnvironment } from '../config.ts';
import { readFormValues } from './form-values.ts';
import { parseOptions } from './request-fields.ts';

const optionsSchema = optionsSchemaOf(configFromEnvironment({}));

function parseForm(fields: Record<string, string>) {
  return parseOptions(readFormValues(new Map(Object.entries(fields))), optionsSchema);
}

describe('form fields', () => {
  it('Form fields are converted to options of the right types.', () => {
    const { options } = parseForm({
      method: 'preview',
      sync_mode: 'bounce',
      start_ms: '100',
      end_ms: '2500',
      allow_preview: 'true',
      priority: '0',
      user_id: '42',
      metadata: '{"order":7,"tags":["a"]}',
    });
    expect(options).toMatchObject({
      method: 'preview',
      syncMode: 'bounce',
      startMs: 100,
      endMs: 2500,
      allowPreview: true,
      priority: 0,
      userId: '42',
      metadata: { order: 7, tags: ['a'] },
    });
  });

  it('Missing form fields get defaults.', () => {
    expect(parseForm({}).options).toMatchObject({
      method: 'auto',
      syncMode: 'loop',
      silenceMode: 'close',
      allowPreview: false,
      priority: 5,
      metadata: {},
    });
  });

  it.each([
    ['start_ms', 'soon'],
    ['start_ms', ''],
    ['start_ms', '0x10'],
    ['start_ms', '1.5'],
    ['start_ms', '-1'],
    ['allow_preview', 'yes'],
    ['allow_preview', '1'],
    ['metadata', '{"open":'],
    ['metadata', '[]'],
    ['metadata', 'null'],
    ['method', 'magic'],
    ['priority', '11'],
    ['user_id', ''],
    ['deadline_ms', '1e9'],
  ])('The form field %s = %j is refused by name.', (field, text) => {
    const { options, problems } = parseForm({ [field]: text });
    expect(options).toBeUndefined();
    expect(problems.map((problem) => problem.field)).toEqual([field]);
  });

  it('All invalid form fields are reported at once, in the spelling of the request.', () => {
    const { problems } = parseForm({
      method: 'magic',
      start_ms: 'x',
      color: 'red',
      syncMode: 'loop',
      sync__mode: 'loop',
      ['__proto__']: '1',
    });
    expect(problems.map(({ field }) => field).sort()).toEqual([
      '__proto__',
      'color',
      'method',
      'start_ms',
      'syncMode',
      'sync__mode',
    ]);
  });

  it('A provider option in another spelling is reported once, under the name that the caller used.', () => {
    const { problems } = parseForm({ provider_options: '{"heygen":{"Mode":"speed","modeName":1}}' });
    expect(problems.map(({ field }) => field)).toEqual([
      'provider_options.heygen.Mode',
      'provider_options.heygen.modeName',
    ]);
  });

  it('Problems are described in the words of the API, those between fields together with those of fields.', () => {
    const { problems } = parseForm({
      sync_mode: 'sideways',
      start_ms: '9',
      end_ms: '5',
      deadline_ms: '1',
      priority: '1.5',
      allow_preview: 'maybe',
      user_id: '',
      metadata: '[]',
      heygen_mode: 'speed',
      provider_options: '{"heygen":{"mode":"precision","tone":1},"other":{}}',
    });
    expect(problems.map(({ field, message }) => `${field} ${message}`).toSorted()).toEqual([
      'allow_preview must be true or false',
      'deadline_ms must be at least 1000',
      'end_ms must be later than the start of the part to use',
      'heygen_mode contradicts provider_options.heygen.mode',
      'metadata must be an object',
      'priority must be a whole number',
      'provider_options.heygen.tone is not a known field',
      'provider_options.other is not a known field',
      'sync_mode must be one of loop, bounce, cut_off, silence, remap',
      'user_id must not be empty',
    ]);
  });

  it('Arbitrary form fields result in either options or problems and never throw.', () => {
    const name = fc.oneof(
      fc.constantFrom('method', 'start_ms', 'metadata', 'priority', '__proto__', 'constructor'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), (entries) => {
        const { options, problems } = parseOptions(readFormValues(new Map(entries)), optionsSchema);
        expect(options === undefined).toBe(problems.length > 0);
      }),
    );
  });
});
