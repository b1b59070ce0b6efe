import { describe, expect, it } from 'vitest';
import { findLipsync } from './heygen-search.ts';
import type { ListedLipsync, LipsyncPage } from './heygen-wire.ts';

const orderedMs = Date.UTC(2026, 10, 21);
const minuteMs = 60_000;
const never = new AbortController().signal;

const listed = (ageMinutes: number, callbackId = 'other'): ListedLipsync => ({
  id: `id-of-${callbackId}`,
  callbackId,
  title: null,
  createdAtMs: orderedMs - ageMinutes * minuteMs,
});

/** A list in pages, and how many of them were asked for. */
function accountOf(...pages: readonly (readonly ListedLipsync[])[]) {
  const asked: (string | null)[] = [];
  return {
    asked,
    async listLipsyncs(token: string | null): Promise<LipsyncPage> {
      asked.push(token);
      const page = Number(token ?? 0);
      return {
        lipsyncs: pages[page] ?? [],
        nextToken: page + 1 < pages.length ? String(page + 1) : null,
        hasMore: page + 1 < pages.length,
      };
    },
  };
}

const find = (account: ReturnType<typeof accountOf>): Promise<string | null> =>
  findLipsync(account, { callbackId: 'job_1', title: 'Lipsync job_1', notBeforeMs: orderedMs }, never);

describe('an operation of ours in the list of all', () => {
  it('is found on whatever page it is', async () => {
    const account = accountOf([listed(-3), listed(-2)], [listed(-1), listed(-1, 'job_1')], [listed(5)]);
    expect([await find(account), account.asked]).toEqual(['id-of-job_1', [null, '1']]);
  });

  it('is none for sure when the list ends without it', async () => {
    expect(await find(accountOf([listed(-3)], [listed(-2)]))).toBeNull();
    expect(await find(accountOf([]))).toBeNull();
  });

  it('is not looked for among those that are older than its order, where the list goes from new to old', async () => {
    const account = accountOf([listed(-3)], [listed(1), listed(60)], [listed(61)]);
    expect([await find(account), account.asked.length]).toEqual([null, 2]);
  });

  it.each<[string, readonly ListedLipsync[]]>([
    ['goes from old to new', [listed(62), listed(61)]],
    ['has no order', [listed(-3), listed(60), listed(-2), listed(59)]],
    ['does not say when', [{ ...listed(0), createdAtMs: null }]],
  ])('is looked for to the end where the list %s', async (_, first) => {
    const account = accountOf(first, [listed(59), listed(-1, 'job_1')]);
    expect(await find(account)).toBe('id-of-job_1');
  });

  it('is not said to be none by a list that has more and does not say where', async () => {
    const account = {
      listLipsyncs: async (): Promise<LipsyncPage> => ({ lipsyncs: [listed(-3)], nextToken: null, hasMore: true }),
    };
    await expect(
      findLipsync(account, { callbackId: 'job_1', title: 'Lipsync job_1', notBeforeMs: orderedMs }, never),
    ).rejects.toMatchObject({ code: 'provider_unavailable' });
  });

  it('is known by its title, and not said to be none, where callback ids are not told', async () => {
    const nameless = { ...listed(-1), callbackId: null };
    expect(await find(accountOf([listed(-3), { ...nameless, id: 'mine', title: 'Lipsync job_1' }]))).toBe('mine');
    expect(
      await find(
        accountOf([
          { ...nameless, title: 'Lipsync job_2' },
          { ...nameless, createdAtMs: orderedMs - 60 * minuteMs },
        ]),
      ),
    ).toBeNull();
    for (const createdAtMs of [orderedMs, null]) {
      await expect(find(accountOf([{ ...nameless, createdAtMs }]))).rejects.toMatchObject({
        code: 'provider_unavailable',
      });
    }
  });

  it('is not said to be none when there are more than can be looked through', async () => {
    const account = accountOf(...Array.from({ length: 200 }, () => [listed(-1)]));
    await expect(find(account)).rejects.toMatchObject({ code: 'provider_unavailable' });
    expect(account.asked.length).toBe(50);
  });
});
