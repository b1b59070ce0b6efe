import { describe, expect, it } from 'vitest';
import { mediaTypeOf } from './media-type.ts';

const typeOf = (head: string): string => mediaTypeOf(Buffer.from(head, 'latin1'));

describe('The media type of a file', () => {
  it.each(['\xff\xfb\x90', '\xff\xf3\x40', '\xff\xf2\x40', 'ID3\x04'])(
    'An MP3 that starts with %j may carry a manifest.',
    (head) => expect(typeOf(head)).toBe('audio/mpeg'),
  );

  it.each(['\0\0\x01\xba', '\x0bw', 'FORM', 'RF64', '\0\0\0\x08free', '\0\0\0\0G@'])(
    'A file that starts with %j is of a known format, so that it is reported as unsigned instead of unreadable.',
    (head) => expect(typeOf(head)).toBe('without manifests'),
  );

  it('Text is of no known format.', () => expect(typeOf('Good morning')).toBe('unknown'));
});
