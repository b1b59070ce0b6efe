import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable, quoted } from './quoted-text.ts';

describe('untrusted text', () => {
  it('Untrusted text is quoted, truncated and escaped for messages.', () => {
    expect(quoted('a"b\u001b[2J\u202eé')).toBe(String.raw`"a\"b\u001b[2J\u202e\u00e9"`);
    expect(quoted('x'.repeat(101))).toBe(`"${'x'.repeat(100)}" and so on`);
  });

  it('Printed text keeps letters of any script and loses terminal control characters.', () => {
    expect(printable('models/modèle 模型.onnx · a\u001b]0;t\u0007\u009b2J\u202e\u2028\n')).toBe(
      String.raw`models/modèle 模型.onnx · a\u001b]0;t\u0007\u009b2J\u202e\u2028\u000a`,
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\p{Cf}]/u.test(printable(text) + quoted(text))),
    );
  });
});
