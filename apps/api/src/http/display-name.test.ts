import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toDisplayName, toOutputName } from './display-name.ts';

describe('the name shown for an uploaded file', () => {
  it.each([
    ['clip.mp4', 'clip.mp4'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\clips\\mine.mov', 'mine.mov'],
    ['two\nlines\r\n.mp4', 'twolines.mp4'],
    ['say "hi" it\'s me.mp4', 'say "hi" it\'s me.mp4'],
    ['видео 日本 🎬.mp4', 'видео 日本 🎬.mp4'],
    ['gpj.\u202e4pm', 'gpj.4pm'],
    ['..', 'video'],
    ['', 'video'],
    ['   ', 'video'],
    ['\ud800', '\ufffd'],
  ])('of %j is %j', (given, shown) => {
    expect(toDisplayName(given, 'video')).toBe(shown);
  });

  it('is never empty, a path, a control character or long', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (given) => {
        const name = toDisplayName(given, 'video');
        expect(name).toMatch(/^[^/\\\u0000-\u001f\u007f]{1,240}$/u);
        expect(['.', '..']).not.toContain(name);
      }),
    );
  });
});

describe('the name offered for an output', () => {
  it.each([
    ['clip.mov', 'clip-lipsync.mp4'],
    ['no extension', 'no extension-lipsync.mp4'],
    ['.hidden', 'video-lipsync.mp4'],
    ['a.b.c', 'a.b-lipsync.mp4'],
  ])('for %j is %j', (clip, offered) => {
    expect(toOutputName(clip)).toBe(offered);
  });
});
