import { describe, expect, it } from 'vitest';
import { parseManifest } from './batch-manifest.ts';

const parse = (text: string) => parseManifest(new TextEncoder().encode(text), ['video', 'audio']);
const fieldsOf = (text: string) => parse(text).map(({ fields }) => Object.fromEntries(fields));

describe('CSV manifest of a batch', () => {
  it('A manifest yields the typed fields of each row with its line, without empty cells.', () => {
    const text =
      '\ufeffvideo,audio,start_ms,allow_preview,metadata\r\na.mp4,"b, c.wav",100,true,"{""n"":1}"\r\n\r\nd.mp4,e.wav,,,\r\n';
    expect(fieldsOf(text)).toEqual([
      { video: 'a.mp4', audio: 'b, c.wav', start_ms: 100, allow_preview: true, metadata: { n: 1 } },
      { video: 'd.mp4', audio: 'e.wav' },
    ]);
    expect(parse('video,audio\na,"b\nc"\nd,e').map(({ line }) => line)).toEqual([3, 4]);
  });

  it('A manifest may have semicolons, as some spreadsheets write it.', () => {
    expect(fieldsOf('video;audio\na,b.mp4;c.wav')).toEqual([{ video: 'a,b.mp4', audio: 'c.wav' }]);
  });

  it('Rows and columns without any content do not count.', () => {
    expect(fieldsOf('video,audio,,\na,b,,\n,,,\nc,d,,\n')).toEqual([
      { video: 'a', audio: 'b' },
      { video: 'c', audio: 'd' },
    ]);
  });

  it.each([
    ['a header with LF before rows with CRLF', 'video,audio\na,b\r\n"c","d"\r\n'],
    ['a header with CRLF before rows with LF', 'video,audio\r\na,b\n"c","d"\n'],
    ['lines that end with CR', 'video,audio\ra,b\rc,d'],
    ['an empty first line', '\nvideo;audio\r\na;b\r\nc;d'],
    ['an empty first line after a byte order mark', '\ufeff\r\nvideo;audio\na;b\nc;d'],
  ])('A manifest may have %s.', (_name, text) => {
    expect(fieldsOf(text)).toEqual([
      { video: 'a', audio: 'b' },
      { video: 'c', audio: 'd' },
    ]);
  });

  it.each([
    ['nothing', '', 'is empty'],
    ['no rows', 'video,audio\n', 'has no items'],
    ['a missing column', 'video,sound\na,b', 'lacks the column "audio"'],
    ['a column twice', 'video,audio,video\na,b,c', 'has the column "video" twice'],
    ['a quote that never closes', 'video,audio\na,"b\nc,d', 'has a quote that is never closed, on line 2 or later'],
    ['a short row', 'video,audio\na', 'has a row on line 2 whose number of columns differs from that of the first row'],
    ['a value in a column without a name', 'video,audio,\na,b,c', 'has a value in a column without a name, on line 2'],
    [
      'several problems',
      'video,sound,sound\n',
      'has the column "sound" twice; it lacks the column "audio"; it has no items',
    ],
    ['501 rows', `video,audio\n${'a,b\n'.repeat(501)}`, 'has more than 500 items'],
  ])('A manifest with %s is refused.', (_name, text, reason) => {
    expect(() => parse(text)).toThrow(`The manifest ${reason}.`);
  });

  it('A manifest that is not UTF-8 or too large is refused.', () => {
    expect(() => parseManifest(new Uint8Array([0xff, 0xfe, 0x61]), [])).toThrow('is not UTF-8');
    expect(() => parseManifest(new Uint8Array(4_194_305), [])).toThrow('is larger than');
  });
});
