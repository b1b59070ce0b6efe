import { describe, expect, it } from 'vitest';
import { formatOf, type FileFormat } from './media-type.ts';

const detect = (head: string): FileFormat => formatOf(Buffer.from(head, 'latin1'));

describe('The format of a file', () => {
  it.each(['\xff\xfb\x90', '\xff\xf3\x40', '\xff\xf2\x40', 'ID3\x04'])(
    'An MP3 that starts with %j may carry a manifest.',
    (head) => expect(detect(head)).toEqual({ type: 'can_carry_manifest', mediaType: 'audio/mpeg' }),
  );

  it.each(['\0\0\x01\xba', '\x0bw', 'FORM', 'RF64', '\0\0\0\x08free', '\0\0\0\0G@'])(
    'A file that starts with %j is of a known format, so that it is reported as unsigned instead of unreadable.',
    (head) => expect(detect(head)).toEqual({ type: 'without_manifests' }),
  );

  it('Text is of no known format.', () => expect(detect('Good morning')).toEqual({ type: 'unknown' }));
});
