import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../errors/index.ts';
import type { Documents, Json, StateStore } from '../storage/state-store.ts';

export interface StateStoreUnderTest {
  readonly store: StateStore;
  /** A second store over the same documents, like that of another process; disposed with the first. */
  readonly other: StateStore;
  dispose(): Promise<void>;
}

const deepDocument = {
  title: 'Grüße, 世界 😀',
  deep: [1, -0.5, { a: null, b: false }],
  empty: {},
  text: '"\\\n\u0000\u2028',
};

/**
 * Conformance suite of the state store port. `makeStores` is called once per test and returns two stores over empty
 * state.
 */
export function stateStoreSuite(name: string, makeStores: () => Promise<StateStoreUnderTest>): void {
  describe(`State store: ${name}`, () => {
    let subject: StateStoreUnderTest;
    let store: StateStore;
    let other: StateStore;
    const put = (entries: Readonly<Record<string, Json | null>>): Promise<void> =>
      store.transact(Object.keys(entries), () => ({ result: undefined, writes: new Map(Object.entries(entries)) }));
    const get = (key: string, from = store): Promise<Json | undefined> =>
      from.transact([key], (documents) => ({ result: documents.get(key) }));

    beforeEach(async () => {
      subject = await makeStores();
      ({ store, other } = subject);
    });
    afterEach(() => subject.dispose());

    describe('documents', () => {
      it('A document that was never written is undefined.', async () => {
        expect(await get('a')).toBeUndefined();
      });

      it.each([
        ['an object', deepDocument],
        ['a list', [1, [2]]],
        ['a text', ''],
        ['a number', 0],
        ['a truth value', false],
      ])('A document that is %s is read back unchanged from every store.', async (_kind, document) => {
        await put({ a: document });
        expect([await get('a'), await get('a', other)]).toEqual([document, document]);
      });

      it('A write replaces the whole document, and a deletion removes it.', async () => {
        await put({ a: { one: 1, two: 2 } });
        await put({ a: { three: 3 } });
        expect(await get('a')).toEqual({ three: 3 });
        await put({ a: null });
        expect([await get('a'), await get('a', other)]).toEqual([undefined, undefined]);
        await put({ a: null });
        expect(await store.list('', { limit: 10 })).toEqual([]);
      });

      it('A deleted document does not occupy space in a page.', async () => {
        await put({ a: 1, b: 2 });
        await put({ a: null });
        expect(await store.list('', { limit: 1 })).toEqual([{ key: 'b', document: 2 }]);
      });

      it('A document of 200 kB is stored.', async () => {
        const document = 'ä'.repeat(100_000);
        await put({ a: document });
        expect(await get('a', other)).toBe(document);
      });
    });

    describe('transactions', () => {
      it('A transaction passes the requested documents to the change and returns its result.', async () => {
        await put({ a: 1, b: 2 });
        const seen = await store.transact(['a', 'b', 'c'], (documents) => ({ result: [...documents] }));
        expect(seen).toEqual([
          ['a', 1],
          ['b', 2],
          ['c', undefined],
        ]);
      });

      it('A transaction without writes changes nothing.', async () => {
        await put({ a: 1 });
        await store.transact(['a', 'b'], () => ({ result: undefined, writes: new Map() }));
        expect(await store.list('', { limit: 10 })).toEqual([{ key: 'a', document: 1 }]);
      });

      it('A transaction leaves documents unchanged that it reads but does not write.', async () => {
        await put({ a: 1, b: 2 });
        await store.transact(['a', 'b'], () => ({ result: undefined, writes: new Map([['b', 3]]) }));
        expect([await get('a'), await get('b')]).toEqual([1, 3]);
      });

      it.each([
        ['one of our errors', new LipsyncError('budget_exceeded', 'Enough.')],
        ['any other error', new TypeError('broken')],
      ])('A transaction whose change throws %s throws it and stores nothing.', async (_kind, error) => {
        await put({ a: 1 });
        await expect(
          store.transact(['a', 'b'], () => {
            throw error;
          }),
        ).rejects.toBe(error);
        expect([await get('a'), await get('b')]).toEqual([1, undefined]);
        await put({ a: 2 });
        expect(await get('a', other)).toBe(2);
      });

      it('A transaction stores no document when one of them cannot be stored.', async () => {
        const circle: Record<string, Json> = {};
        circle['itself'] = circle;
        await expect(put({ a: 1, b: circle })).rejects.toThrow(TypeError);
        expect([await get('a'), await get('b')]).toEqual([undefined, undefined]);
        await put({ a: 2 });
        expect(await get('a', other)).toBe(2);
      });

      it('A write to a document that was not read is refused.', async () => {
        await expect(
          store.transact(['a'], () => ({
            result: undefined,
            writes: new Map([
              ['a', 1],
              ['b', 1],
            ]),
          })),
        ).rejects.toMatchObject({ code: 'internal' });
        expect(await store.list('', { limit: 10 })).toEqual([]);
      });

      it.each([[[]], [['']], [['two words']], [['ä']], [['a'.repeat(301)]]])(
        'A transaction on the keys %j is refused.',
        async (keys) => {
          await expect(store.transact(keys, () => ({ result: 1 }))).rejects.toMatchObject({ code: 'internal' });
        },
      );
    });

    describe('concurrent transactions', () => {
      const countUp = (key: string) => (documents: Documents) => {
        const count = Number(documents.get(key) ?? 0) + 1;
        return { result: count, writes: new Map([[key, count]]) };
      };

      it('Concurrent transactions are serialized and lose no update.', async () => {
        const counts = await Promise.all(
          Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? store : other).transact(['a'], countUp('a'))),
        );
        expect(await get('a')).toBe(60);
        expect(counts.toSorted((one, two) => one - two)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
      });

      it('A transfer between documents is never partially visible.', async () => {
        await put({ a: 100, b: 100 });
        const move = (from: StateStore, amount: number): Promise<number> =>
          from.transact(['a', 'b'], (documents) => {
            const [a, b] = [Number(documents.get('a')), Number(documents.get('b'))];
            return {
              result: a + b,
              writes: new Map([
                ['a', a - amount],
                ['b', b + amount],
              ]),
            };
          });
        const read = (from: StateStore): Promise<number> =>
          from.transact(['b', 'a'], (documents) => ({
            result: Number(documents.get('a')) + Number(documents.get('b')),
          }));
        const sums = await Promise.all(
          Array.from({ length: 20 }, (_, index) => [
            move(store, 1),
            move(other, -2),
            read(index % 2 === 0 ? store : other),
          ]).flat(),
        );
        expect(new Set(sums)).toEqual(new Set([200]));
        expect([await get('a'), await get('b')]).toEqual([120, 80]);
      });
    });

    describe('pages', () => {
      it('A page contains the documents of a prefix in ascending key order.', async () => {
        await put({ 'b/2': 2, 'a/9': 9, 'b/10': 10, 'b/1': 1, b0: 0, b: -1, 'c/1': 3 });
        expect(await store.list('b/', { limit: 10 })).toEqual([
          { key: 'b/1', document: 1 },
          { key: 'b/10', document: 10 },
          { key: 'b/2', document: 2 },
        ]);
        expect((await other.list('', { limit: 10 })).map(({ key }) => key)).toEqual([
          'a/9',
          'b',
          'b/1',
          'b/10',
          'b/2',
          'b0',
          'c/1',
        ]);
        expect(await store.list('d', { limit: 10 })).toEqual([]);
      });

      it('Consecutive pages have no gaps or repetitions, even if documents are added and deleted between them.', async () => {
        const keys = Array.from({ length: 25 }, (_, index) => `k/${String(index).padStart(2, '0')}`);
        await put(Object.fromEntries(keys.map((key) => [key, key])));
        const first = await store.list('k/', { limit: 10 });
        await put({ [keys[9] ?? '']: null, 'k/00a': 'new, before', 'k/12a': 'new, behind' });
        const second = await store.list('k/', { limit: 10, after: first.at(-1)?.key ?? '' });
        const third = await store.list('k/', { limit: 10, after: second.at(-1)?.key ?? '' });
        expect([...first, ...second, ...third].map(({ key }) => key)).toEqual([...keys, 'k/12a'].sort());
      });

      it('A page starts at the prefix when its cursor precedes it, and ends with the prefix.', async () => {
        await put({ 'a/1': 1, 'b/1': 2, 'c/1': 3 });
        expect(await store.list('b/', { limit: 10, after: 'a' })).toEqual([{ key: 'b/1', document: 2 }]);
        expect(await store.list('b/', { limit: 10, after: 'c' })).toEqual([]);
      });

      it('All valid key characters are sorted by code unit.', async () => {
        const keys = Array.from({ length: 94 }, (_, index) => `x${String.fromCharCode(33 + index)}`);
        await put(Object.fromEntries(keys.toReversed().map((key) => [key, 1])));
        expect((await store.list('x', { limit: 100 })).map(({ key }) => key)).toEqual(keys);
      });

      it.each([0, 1_001, 1.5, -1, Number.NaN])('A page size of %d is refused.', async (limit) => {
        await expect(store.list('', { limit })).rejects.toMatchObject({ code: 'internal' });
      });
    });

    it('A closed store refuses calls, can be closed twice, and leaves other stores open.', async () => {
      await put({ a: 1 });
      await store.close();
      await store.close();
      await expect(get('a')).rejects.toMatchObject({ code: 'internal' });
      await expect(store.list('', { limit: 1 })).rejects.toMatchObject({ code: 'internal' });
      expect(await get('a', other)).toBe(1);
    });
  });
}
