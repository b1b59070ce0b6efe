import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toDisplayName, toOutputName } from './display-name.ts';

describe('display name of an uploaded file', () => {
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
  ])('The uploaded file name %j is displayed as %j.', (given, shown) => {
    expect(toDisplayName(given, 'video')).toBe(shown);
  });

  it('A display name is never empty, a path or too long, and has no control characters.', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (given) => {
        const name = toDisplayName(given, 'video');
        expect(name).toMatch(/^[^/\\\u0000-\u001f\u007f]{1,240}$/u);
        expect(['.', '..']).not.toContain(name);
      }),
    );
  });
});

describe('file name of an output', () => {
  it.each([
    ['clip.mov', 'clip-lipsync.mp4'],
    ['no extension', 'no extension-lipsync.mp4'],
    ['.hidden', 'video-lipsync.mp4'],
    ['a.b.c', 'a.b-lipsync.mp4'],
  ])('The output of the clip %j is named %j.', (clip, offered) => {
    expect(toOutputName(clip)).toBe(offered);
  });
});
