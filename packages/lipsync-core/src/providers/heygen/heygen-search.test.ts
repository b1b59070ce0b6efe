import { describe, expect, it } from 'vitest';
import { findLipsync } from './heygen-search.ts';
import type { ListedLipsync, LipsyncPage } from './heygen-wire.ts';

const createdMs = Date.UTC(2026, 10, 21);
const minuteMs = 60_000;
const never = new AbortController().signal;

const listed = (ageMinutes: number, callbackId = 'other'): ListedLipsync => ({
  id: `id-of-${callbackId}`,
  callbackId,
  title: null,
  createdAtMs: createdMs - ageMinutes * minuteMs,
});

/** A list in pages, and the tokens of the requested ones. */
function createAccount(...pages: readonly (readonly ListedLipsync[])[]) {
  const requested: (string | null)[] = [];
  return {
    requested,
    async listLipsyncs(token: string | null): Promise<LipsyncPage> {
      requested.push(token);
      const page = Number(token ?? 0);
      return {
        lipsyncs: pages[page] ?? [],
        nextToken: page + 1 < pages.length ? String(page + 1) : null,
        hasMore: page + 1 < pages.length,
      };
    },
  };
}

const find = (account: ReturnType<typeof createAccount>): Promise<string | null> =>
  findLipsync(account, { callbackId: 'job_1', title: 'Lipsync job_1', createdAfterMs: createdMs }, never);

describe('findLipsync', () => {
  it('An operation is found on a later page.', async () => {
    const account = createAccount([listed(-3), listed(-2)], [listed(-1), listed(-1, 'job_1')], [listed(5)]);
    expect([await find(account), account.requested]).toEqual(['id-of-job_1', [null, '1']]);
  });

  it('The search returns null when the list ends without a match.', async () => {
    expect(await find(createAccount([listed(-3)], [listed(-2)]))).toBeNull();
    expect(await find(createAccount([]))).toBeNull();
  });

  it('A newest-first list is searched only down to the creation time.', async () => {
    const account = createAccount([listed(-3)], [listed(1), listed(60)], [listed(61)]);
    expect([await find(account), account.requested.length]).toEqual([null, 2]);
  });

  it.each<[string, readonly ListedLipsync[]]>([
    ['is sorted oldest first', [listed(62), listed(61)]],
    ['is unsorted', [listed(-3), listed(60), listed(-2), listed(59)]],
    ['omits creation times', [{ ...listed(0), createdAtMs: null }]],
  ])('The whole list is searched when it %s.', async (_, first) => {
    const account = createAccount(first, [listed(59), listed(-1, 'job_1')]);
    expect(await find(account)).toBe('id-of-job_1');
  });

  it('The search fails when the list continues without a token.', async () => {
    const account = {
      listLipsyncs: async (): Promise<LipsyncPage> => ({ lipsyncs: [listed(-3)], nextToken: null, hasMore: true }),
    };
    await expect(
      findLipsync(account, { callbackId: 'job_1', title: 'Lipsync job_1', createdAfterMs: createdMs }, never),
    ).rejects.toMatchObject({ code: 'provider_unavailable' });
  });

  it('Without callback ids, an operation is found by its title, and the search fails if a title is missing too.', async () => {
    const withoutCallbackId = { ...listed(-1), callbackId: null };
    expect(await find(createAccount([listed(-3), { ...withoutCallbackId, id: 'mine', title: 'Lipsync job_1' }]))).toBe(
      'mine',
    );
    expect(
      await find(
        createAccount([
          { ...withoutCallbackId, title: 'Lipsync job_2' },
          { ...withoutCallbackId, createdAtMs: createdMs - 60 * minuteMs },
        ]),
      ),
    ).toBeNull();
    for (const createdAtMs of [createdMs, null]) {
      await expect(find(createAccount([{ ...withoutCallbackId, createdAtMs }]))).rejects.toMatchObject({
        code: 'provider_unavailable',
      });
    }
  });

  it('The search fails after 50 pages.', async () => {
    const account = createAccount(...Array.from({ length: 200 }, () => [listed(-1)]));
    await expect(find(account)).rejects.toMatchObject({ code: 'provider_unavailable' });
    expect(account.requested.length).toBe(50);
  });
});
