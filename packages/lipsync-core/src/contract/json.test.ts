import { describe, expect, it } from 'vitest';
import { parseJson } from './json.ts';

describe('parseJson', () => {
  it('A number that JavaScript cannot hold becomes infinite, and every other value is as JSON.parse returns it.', () => {
    const text =
      '{"a": [9007199254740993, -12345678901234567890, 1e999], "b": "9007199254740993 \\" 9007199254740993", "c": true}';
    expect(parseJson(text)).toEqual({
      a: [Infinity, Infinity, Infinity],
      b: '9007199254740993 " 9007199254740993',
      c: true,
    });
    const kept = '{"x\\\\": [9007199254740992, 1152921504606846976, 0.12345678901234567, -1.5e-7, 1234567890123456]}';
    expect(parseJson(kept)).toEqual(JSON.parse(kept));
    for (const broken of ['', '{', '"a', '"a\\', '[1234567890123456789', '01', '[1e]'])
      expect(() => parseJson(broken)).toThrow(SyntaxError);
  });

  it('A long text that is nested deeply or has too many values is refused, and a short one is parsed.', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    expect(() => parseJson(nested(2_000_000))).toThrow('is nested deeper than 200 levels');
    expect(() => parseJson(`[${'[],'.repeat(1_000_000)}0]`)).toThrow('has more than 250000 values');
    expect(JSON.stringify(parseJson(nested(1_000)))).toHaveLength(2_000);
    expect(parseJson(`["${'[{,'.repeat(300_000)}"]`)).toHaveLength(1);
    expect(parseJson(`[${'0,'.repeat(200_000)}0]`)).toHaveLength(200_001);
  });
});
