import { describe, expect, it } from 'vitest';
import { sourceName } from './source-name.ts';

describe('sourceName', () => {
  it.each<[string, Partial<{ disposition: string; finalUrl: string }>, string]>([
    ['https://cdn.example/media/My%20clip.mp4?sig=hush#t=1', {}, 'My clip.mp4'],
    ['https://cdn.example/media/clip/', {}, 'clip'],
    ['https://cdn.example/', {}, 'video'],
    ['https://cdn.example/100%.mp4', {}, '100%.mp4'],
    ['https://cdn.example/a%2F..%2F..%2Fetc%2Fpasswd', {}, 'passwd'],
    ['https://short.example/x1', { finalUrl: 'https://cdn.example/clip.mov?sig=hush' }, 'clip.mov'],
    ['https://files.example/clip.mov', { finalUrl: 'https://cdn.example/0123456789abcdef' }, 'clip.mov'],
    ['https://a.example/get?id=1', { disposition: 'attachment; filename="talk.mp4"' }, 'talk.mp4'],
    ['https://a.example/get', { disposition: "attachment; filename*=UTF-8''%D0%B2%D0%B8.mp4" }, 'ви.mp4'],
    ['https://a.example/get', { disposition: 'attachment; filename="../../etc/cron.d/x"' }, 'x'],
    ['https://a.example/clip.mp4', { disposition: 'inline' }, 'clip.mp4'],
    ['https://a.example/clip.mp4', { disposition: ';;;=,"' }, 'clip.mp4'],
    ['https://a.example/clip.mp4', { disposition: 'attachment; filename=""' }, 'clip.mp4'],
  ])('The input at %s (%j) is named %s.', (url, { disposition = null, finalUrl = url }, name) => {
    expect(sourceName(url, { contentDisposition: disposition, finalUrl }, 'video')).toBe(name);
  });
});
