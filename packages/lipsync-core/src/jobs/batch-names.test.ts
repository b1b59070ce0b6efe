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

it.each(['CON', 'nul.mp4', 'Aux.tar.mp4', 'com1.mp4', 'LPT¹', 'prn .mp4', 'CONIN$', 'a.mp4.'])(
  'The output name "%s", which Windows cannot keep, is refused.',
  (name) => {
    expect(findNameProblem(name)).toMatch(/Windows/);
  },
);

it.each(['console.mp4', 'com10.mp4', 'null.mp4', 'a.con', 'con-1.mp4', '.mp4'])(
  'The output name "%s" is accepted.',
  (name) => {
    expect(findNameProblem(name)).toBeUndefined();
  },
);
