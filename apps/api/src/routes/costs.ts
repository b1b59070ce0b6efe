import type { Request, Response } from 'express';
import { stringify } from 'csv-stringify/sync';
import { z } from 'zod';
import { microsToUsd, type Clock, type CostGroup, type CostRow } from '@lipsync/core/host';
import { costsViewSchema, type CostsView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, scopeOf, type Caller } from '../http/access.ts';
import { parseQuery } from '../http/parse-query.ts';
import { HttpError } from '../http/problem.ts';
import type { Route } from './route.ts';

const dayMs = 24 * 3_600_000;
const maxDays = 366;

/** A UTC day as text; parsed to the time of its start. */
const day = z.iso.date('must be a day like 2026-11-21').transform((text) => Date.parse(`${text}T00:00:00Z`));

export const costQuery = z.strictObject({
  from: day.optional().describe('First UTC day; by default the first of the month of `to`.'),
  to: day.optional().describe('Last UTC day, inclusive; by default today. At most 366 days after `from`.'),
  group_by: z.enum(['day', 'method', 'key', 'user']).default('day').describe('What each row sums up.'),
});

type Dependencies = Pick<ApiDependencies, 'ledger' | 'clock'>;

/** Spent and reserved money by UTC day, method or user; as JSON or CSV. */
export function costRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/costs',
      documentation: {
        operationId: 'getCosts',
        tag: 'Planning',
        summary: 'Spent and reserved money by day, method, key or user',
        description: 'Only jobs with a priced attempt count. `Accept: text/csv` selects CSV.',
        parameters: { query: costQuery },
        responses: {
          200: {
            description: 'The costs of your key; of all keys for an admin key.',
            content: { 'application/json': { schema: costsViewSchema }, 'text/csv': { schema: z.string() } },
          },
        },
        problems: { 422: ['request_invalid'] },
      },
      handle: (request, response) => showCosts(dependencies, request, response),
    },
  ];
}

async function showCosts(dependencies: Dependencies, request: Request, response: Response): Promise<void> {
  const summed = await sumCosts(dependencies, request.query, callerOf(response));
  response.vary('Accept');
  if (request.accepts(['json', 'text/csv']) === 'text/csv') {
    response.type('text/csv').send(toCsv(summed.groupBy, summed.rows));
    return;
  }
  response.json(viewCosts(summed));
}

/** Returns the costs that a caller may see. Throws `request_invalid` for an invalid query. */
export async function readCosts(dependencies: Dependencies, query: unknown, caller: Caller): Promise<CostsView> {
  return viewCosts(await sumCosts(dependencies, query, caller));
}

interface SummedCosts {
  /** Start of the first and of the last day. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly groupBy: CostGroup;
  readonly rows: readonly CostRow[];
}

async function sumCosts({ ledger, clock }: Dependencies, query: unknown, caller: Caller): Promise<SummedCosts> {
  const { from: fromMs, to: toMs, group_by: groupBy } = readQuery(query, clock);
  const rows = await ledger.sum({ fromMs, toMs: toMs + dayMs, groupBy, ...scopeOf(caller) });
  return { fromMs, toMs, groupBy, rows };
}

function viewCosts({ fromMs, toMs, groupBy, rows }: SummedCosts): CostsView {
  return {
    from: toDay(fromMs),
    to: toDay(toMs),
    group_by: groupBy,
    rows: rows.map((row) => ({
      [groupBy]: row.key,
      ...(groupBy === 'user' && { key: row.owner ?? null }),
      ...amounts(row),
      // `as`: TypeScript does not follow the computed name.
    })) as CostsView['rows'],
    total: amounts(total(rows)),
  };
}

/** The days of the query, both inclusive; by default the current month to date. */
function readQuery(
  query: unknown,
  clock: Clock,
): { readonly from: number; readonly to: number; readonly group_by: CostGroup } {
  const parsed = parseQuery(costQuery, query);
  const today = Math.floor(clock.nowMs() / dayMs) * dayMs;
  const { to = today, group_by } = parsed;
  const { from = Date.parse(`${toDay(to).slice(0, 7)}-01T00:00:00Z`) } = parsed;
  if (from > to || to - from > maxDays * dayMs) {
    throw new HttpError(
      'request_invalid',
      `"from" must not be later than "to", nor more than ${maxDays} days before it.`,
    );
  }
  return { from, to, group_by };
}

function toDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

type Amounts = Pick<CostRow, 'jobs' | 'spentMicros' | 'reservedMicros'>;

function amounts({ jobs, spentMicros, reservedMicros }: Amounts) {
  return { jobs, cost_usd: microsToUsd(spentMicros), reserved_usd: microsToUsd(reservedMicros) };
}

/** Jobs are summed over the rows: a job that used two methods counts twice. */
function total(rows: readonly CostRow[]): Amounts {
  const sumOf = (name: keyof Amounts): number => rows.reduce((sum, row) => sum + row[name], 0);
  return { jobs: sumOf('jobs'), spentMicros: sumOf('spentMicros'), reservedMicros: sumOf('reservedMicros') };
}

/** RFC 4180, amounts with six decimals. User names are untrusted: spreadsheets must not evaluate them as formulas. */
function toCsv(groupBy: string, rows: readonly CostRow[]): string {
  const records = rows.map(({ key, owner, jobs, spentMicros, reservedMicros }) => [
    key ?? '',
    jobs,
    dollars(spentMicros),
    dollars(reservedMicros),
    ...(groupBy === 'user' ? [owner ?? ''] : []),
  ]);
  return stringify(records, {
    header: true,
    columns: [groupBy, 'jobs', 'cost_usd', 'reserved_usd', ...(groupBy === 'user' ? ['key'] : [])],
    record_delimiter: 'windows',
    escape_formulas: true,
  });
}

function dollars(micros: number): string {
  return microsToUsd(micros).toFixed(6);
}
