import { describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from './lipsync-request.ts';

/** Metadata whose innermost container lies `depth` levels below it. */
function nested(depth: number): Record<string, unknown> {
  return { a: JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) };
}

function refusal(metadata: unknown): string | undefined {
  return lipsyncOptionsSchema
    .safeParse({ metadata })
    .error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
    .join('; ');
}

describe('metadata', () => {
  it('may be nested 20 levels deep', () => {
    expect(refusal(nested(19))).toBeUndefined();
    expect(refusal(nested(20))).toBe('metadata must not be nested deeper than 20 levels');
  });

  it.each([20_000, 1_000_000])('that is nested %i levels deep is refused, not walked', (depth) => {
    expect(refusal(nested(depth))).toBe('metadata must not be nested deeper than 20 levels');
  });

  it('that is an endless circle is refused', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(refusal(circle)).toContain('nested deeper');
  });

  it('may hold 16 384 bytes as JSON', () => {
    const withBytes = (bytes: number) => ({ text: 'x'.repeat(bytes - '{"text":""}'.length) });
    expect(refusal(withBytes(16_384))).toBeUndefined();
    expect(refusal(withBytes(16_385))).toBe('metadata must be at most 16384 bytes as JSON');
  });
});
