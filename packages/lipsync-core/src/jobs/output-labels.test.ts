import { expect, it } from 'vitest';
import { labelOf } from './output-labels.ts';

it('A request adds the label or chooses its language and corner, and cannot remove that of the installation.', () => {
  const off = { language: null, corner: 'top_right' } as const;
  const on = { language: 'de', corner: 'top_right' } as const;
  expect(labelOf({}, off)).toBeUndefined();
  expect(labelOf({ labelCorner: 'top_left' }, off)).toBeUndefined();
  expect(labelOf({ visibleLabel: 'zh' }, off)).toEqual({ language: 'zh', corner: 'top_right' });
  expect(labelOf({}, on)).toEqual(on);
  expect(labelOf({ visibleLabel: 'en', labelCorner: 'bottom_left' }, on)).toEqual({
    language: 'en',
    corner: 'bottom_left',
  });
});
