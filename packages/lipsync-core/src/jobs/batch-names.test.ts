import { expect, it } from 'vitest';
import { defaultOutputName, findNameProblem } from './batch-names.ts';

it.each([
  ['clips/a.mov', '0003-a.mp4'],
  ['/shared/clip%20one.mp4', '0003-clip_20one.mp4'],
  ['c:x?.mp4', '0003-c_x_.mp4'],
  ['', '0003-clip.mp4'],
])('The default output name of the clip "%s" is "%s", which an item may also name itself.', (clipPath, name) => {
  expect(defaultOutputName(2, clipPath)).toBe(name);
  expect(findNameProblem(name)).toBeUndefined();
});
