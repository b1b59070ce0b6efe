import { expect, it } from 'vitest';
import { checkReceiver } from './receiver-policy.ts';

it('Receivers whose names are not resolved in time occupy a limited number of lookups.', async () => {
  let started = 0;
  const { promise: answered, resolve: answer } = Promise.withResolvers<{ address: string; family: 4 }[]>();
  const check = (name: string) =>
    checkReceiver(`https://${name}.example.org/`, [], () => {
      started += 1;
      return answered;
    });
  await Promise.all(Array.from({ length: 500 }, (_, index) => check(`n${index}`)));
  expect(started).toBe(32);
  answer([{ address: '10.0.0.1', family: 4 }]);
  await answered;
  await expect(check('later')).rejects.toMatchObject({ code: 'url_forbidden' });
  expect(started).toBe(33);
});
