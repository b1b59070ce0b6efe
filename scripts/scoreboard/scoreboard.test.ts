import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Attempt, CostEstimate, GenerateLipsyncResult, Quality } from '../../packages/lipsync-core/src/index.ts';
import { LipsyncError } from '../../packages/lipsync-core/src/errors/index.ts';
import { commands } from '../bootstrap/commands.mjs';
import {
  rateProviders,
  type BoardProvider,
  type BoardService,
  type RatedProvider,
  type RateOptions,
} from './rate-providers.ts';
import { ArgumentError, parseScoreboardArguments } from './scoreboard-arguments.ts';
import { boardTables } from './scoreboard-tables.ts';
import { toBoardJson } from './scoreboard.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-board-'));
  for (const name of ['a.mp4', 'b.avi', 'notes.txt', 'voice.wav']) await writeFile(join(folder, name), '');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('Arguments of the scoreboard', () => {
  it('The list of commands and docs/quality.md name every flag that is read.', async () => {
    const source = await readFile(join(import.meta.dirname, 'scoreboard-arguments.ts'), 'utf8');
    const flags = [...source.matchAll(/^ +'?([a-z-]+)'?: \{ type: '/gm)].map(([, name]) => `--${name}`);
    expect(flags).toContain('--report');
    const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'quality.md'), 'utf8');
    for (const flag of flags) {
      expect(commands.scoreboard?.usage).toContain(`[${flag}`);
      expect(page).toContain(flag);
    }
  });

  it('A folder contributes its clips and, without --speech, its recordings.', async () => {
    expect(await parseScoreboardArguments([folder])).toMatchObject({
      clips: [join(folder, 'a.mp4'), join(folder, 'b.avi')],
      speeches: [join(folder, 'voice.wav')],
      maxCostUsd: null,
      json: false,
    });
    const given = [join(folder, 'a.mp4'), '--speech', join(folder, 'voice.wav'), '--max-cost-usd', '0.5', '--json'];
    expect(await parseScoreboardArguments(given)).toMatchObject({
      clips: [join(folder, 'a.mp4')],
      speeches: [join(folder, 'voice.wav')],
      maxCostUsd: 0.5,
      json: true,
    });
  });

  it.each([
    [[], 'at least one clip'],
    [['/nowhere.mp4'], 'does not exist'],
    [['.', '--speech', '/nowhere.wav'], 'no clips'],
    [['--unknown'], '--unknown'],
    [['CLIP'], '--speech'],
    [['FOLDER', '--max-cost-usd', 'much'], '--max-cost-usd'],
    [['FOLDER', '--report', 'page.txt'], '--report must end in .html'],
    [['FOLDER', '--report', '/nowhere/page.html'], '--report names a folder that does not exist'],
  ])('The arguments %j are refused.', async (args, message) => {
    const paths = args.map((value) => (value === 'CLIP' ? join(folder, 'a.mp4') : value === 'FOLDER' ? folder : value));
    const refused = parseScoreboardArguments(paths);
    await expect(refused).rejects.toBeInstanceOf(ArgumentError);
    await expect(refused).rejects.toThrow(message);
  });
});

const free: BoardProvider = { id: 'preview', degraded: true, missingSetting: null, isPaid: false };
const paid: BoardProvider = { id: 'vendor', degraded: false, missingSetting: null, isPaid: true };
const absent: BoardProvider = { id: 'engine', degraded: false, missingSetting: 'ENGINE_MODEL_PATH', isPaid: false };

const quality = (values: Partial<Quality>): Quality => ({
  syncScore: null,
  audioQuality: 0.9,
  videoQuality: 0.8,
  grade: 'unknown',
  sync: null,
  parts: {},
  source: null,
  labels: [],
  methodVersion: 'test-1',
  models: {},
  ...values,
});

interface Script {
  /** Dollars by take; an error fails the take. */
  readonly takes: readonly (number | LipsyncError | null)[];
  readonly quoteUsd?: number;
  readonly qualities?: readonly Quality[];
}

/** A service whose takes are 30 s long and rendered in 6 s. */
function scripted({ takes, quoteUsd = 0, qualities = [] }: Script) {
  const caps: (number | null | undefined)[] = [];
  let closed = 0;
  const service: BoardService = {
    async generateLipsync({ outputPath, maxCostUsd }): Promise<GenerateLipsyncResult> {
      const take = takes[caps.length] ?? 0;
      const measured = qualities[caps.length] ?? null;
      caps.push(maxCostUsd);
      if (take instanceof LipsyncError) throw take;
      const attempt: Attempt = {
        provider: 'vendor',
        outcome: 'succeeded',
        code: null,
        message: null,
        startedAtMs: 1_000,
        endedAtMs: 7_000,
        costMicros: Math.round(take * 1e6),
        operation: null,
        operationAtMs: null,
        transientFailures: 0,
      };
      const made = { methodUsed: 'vendor', degraded: false, durationSeconds: 30, costUsd: take } as const;
      return { status: 'completed', outputPath, ...made, quality: measured, attempts: [attempt], warnings: [] };
    },
    async estimateCost(): Promise<CostEstimate> {
      const estimate = {
        provider: 'vendor',
        costUsd: quoteUsd,
        expectedSeconds: 1,
        measured: false,
        cap: null,
      } as const;
      return { durationSeconds: 30, plan: ['vendor'], planSteps: [], first: 'vendor', providers: [estimate] };
    },
    async close() {
      closed += 1;
    },
  };
  return { service, caps, isClosed: () => closed === 1 };
}

const rate = (
  providers: readonly BoardProvider[],
  service: BoardService,
  maxCostUsd: number | null = null,
  change: Partial<RateOptions> = {},
) =>
  rateProviders({
    clips: ['a.mp4', 'b.avi'],
    speeches: ['voice.wav'],
    providers,
    maxCostUsd,
    outputFolder: join(folder, 'out'),
    signal: new AbortController().signal,
    openService: () => service,
    onProgress: () => undefined,
    ...change,
  });

describe('The scoreboard', () => {
  it('Medians, labels, speed and cost come from the takes of a provider.', async () => {
    const part = (value: number | null) => ({
      value,
      unit: 'ms',
      score: null,
      reason: value === null ? 'There is no echo.' : null,
    });
    const label = { code: 'seam_visible', message: '', ranges: [], value: 1, threshold: 0, fatal: false };
    const { service, isClosed } = scripted({
      takes: [0, 0],
      qualities: [
        quality({
          syncScore: 0.8,
          parts: { drift: part(10), echo: part(null), tone: part(null) },
          labels: [label, label],
          grade: 'good',
        }),
        quality({ syncScore: 0.6, parts: { drift: part(null) }, models: { syncnet: 'ab' } }),
      ],
    });
    const board = toBoardJson(await rate([free], service));
    expect(isClosed()).toBe(true);
    expect(board).toMatchObject({ method_version: 'test-1', models: { syncnet: 'ab' } });
    expect(board.providers[0]?.summary).toMatchObject({
      takes: 2,
      failures: 0,
      sync_score: 0.7,
      parts: { drift: { value: 10, unit: 'ms', takes: 1, reason: 'There is no echo.' } },
      labels: { seam_visible: 1 },
      grades: { good: 1, unknown: 1 },
      seconds_per_second: 0.2,
      usd_per_minute: 0,
    });
    const text = boardTables(board);
    expect(text).toContain(
      '| preview (degraded) | 2 | good 1, unknown 1 | 0.70 | 0.90 | 0.80 | seam_visible 1 | 0.20 |',
    );
    expect(text).toContain('| drift | ms | 10.000 (1) |\n\n| not measured in any take | preview (degraded) |');
    expect(text).toContain('| echo, tone | There is no echo. |');
  });

  it('A provider that is not configured, and a paid one without an amount, are listed with the reason and not run.', async () => {
    const { service, caps } = scripted({ takes: [] });
    const board = toBoardJson(await rate([paid, absent], service));
    expect(caps).toEqual([]);
    expect(board.providers).toMatchObject([
      { provider: 'vendor', status: 'not_paid_for', summary: null },
      { provider: 'engine', status: 'not_configured', reason: 'ENGINE_MODEL_PATH is not set' },
    ]);
    expect(boardTables(board)).toBe(
      'vendor was not rated: its takes cost money; allow an amount with --max-cost-usd.\nengine was not rated: ENGINE_MODEL_PATH is not set.',
    );
  });

  it('Takes of a paid provider are capped by what is left, and the cost is exact to a millionth.', async () => {
    const { service, caps } = scripted({ takes: [0.1, 0.2], quoteUsd: 0.2 });
    const board = toBoardJson(await rate([paid], service, 0.45));
    expect(caps).toEqual([0.45, 0.35]);
    expect(board.providers[0]?.summary).toMatchObject({ cost_usd: 0.3, usd_per_minute: 0.3 });
  });

  it('Nothing is rendered by a paid provider whose takes may cost more than the cap.', async () => {
    const { service, caps, isClosed } = scripted({ takes: [0.1, 0.1], quoteUsd: 0.2 });
    await expect(rate([paid], service, 0.39)).rejects.toMatchObject({
      code: 'budget_exceeded',
      message: expect.stringContaining('may cost $0.4'),
    });
    expect(caps).toEqual([]);
    expect(isClosed()).toBe(true);
  });

  it('The takes that were made are rated when an error ends the others.', async () => {
    const { service } = scripted({ takes: [0.1, 0.2], quoteUsd: 0.2 });
    const stop = new AbortController();
    const stopping: BoardService = {
      ...service,
      async generateLipsync(...given) {
        if (stop.signal.aborted) throw new LipsyncError('canceled', 'Interrupted.');
        stop.abort();
        return service.generateLipsync(...given);
      },
    };
    const rated: RatedProvider[] = [];
    const onRated = (provider: RatedProvider): void => void rated.push(provider);
    const rating = rate([paid], stopping, 0.5, { signal: stop.signal, onRated });
    await expect(rating).rejects.toMatchObject({ code: 'canceled' });
    expect(toBoardJson(rated).providers).toMatchObject([{ provider: 'vendor', summary: { takes: 1, cost_usd: 0.1 } }]);
  });

  it('A failed take is listed with its error; its unknown cost counts as its estimate and leaves the total unknown.', async () => {
    const { service, caps } = scripted({
      takes: [new LipsyncError('provider_failed', 'No face.'), 0.1],
      quoteUsd: 0.2,
    });
    const board = toBoardJson(await rate([paid], service, 0.5));
    expect(caps).toEqual([0.5, 0.3]);
    expect(board.providers[0]?.summary).toMatchObject({ takes: 2, failures: 1, cost_usd: null, usd_per_minute: null });
    expect(boardTables(board)).toContain('vendor failed on a.mp4 × voice.wav: provider_failed: No face.');
  });

  it('A board on which every take failed has no table of parts.', async () => {
    const failure = new LipsyncError('provider_failed', 'No face.');
    const { service } = scripted({ takes: [failure, failure], quoteUsd: 0.2 });
    const text = boardTables(toBoardJson(await rate([paid], service, 0.5)));
    expect(text).toContain('| vendor | 2 (2 failed) | none |');
    expect(text).not.toContain('part, median');
  });
});
