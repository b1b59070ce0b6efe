import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const folder = fileURLToPath(new URL('../deploy/monitoring/', import.meta.url));
const page = await readFile(new URL('../docs/monitoring.md', import.meta.url), 'utf8');

const rulesSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(z.object({ alert: z.string(), expr: z.string(), annotations: z.object({ summary: z.string() }) })),
    }),
  ),
});
const dashboardSchema = z.object({
  panels: z.array(
    z.object({
      id: z.number(),
      type: z.enum(['row', 'stat', 'timeseries']),
      title: z.string().min(1),
      gridPos: z.object({ h: z.number(), w: z.number(), x: z.number(), y: z.number() }),
      targets: z.array(z.object({ expr: z.string().min(1) })).optional(),
    }),
  ),
});

const rules = rulesSchema
  .parse(parse(await readFile(`${folder}alerts.yml`, 'utf8')))
  .groups.flatMap((group) => group.rules);
const dashboard = dashboardSchema.parse(JSON.parse(await readFile(`${folder}dashboard.json`, 'utf8')));
const expressions = [
  ...rules.map(({ expr }) => expr),
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
];

/** The rows of the table of metrics: name and labels. Tests of API and worker compare them with the code. */
const documented = new Map(
  [...page.matchAll(/^\| `(lipsync_\w+)(?:\{([\w,]+)\})?` \|/gm)].map(([, name = '', labels = '']) => [
    name,
    new Set(labels.split(',')),
  ]),
);

function metricOf(name: string): string {
  const base = name.replace(/_(?:bucket|sum|count)$/, '');
  return documented.has(name) ? name : base;
}

describe('deploy/monitoring', () => {
  it('Alert rules and dashboard use only documented metrics, and labels that these have.', () => {
    for (const expression of expressions) {
      for (const [, name = '', selector = ''] of expression.matchAll(/(lipsync_\w+)(?:\{([^}]*)\})?/g)) {
        const labels = documented.get(metricOf(name));
        expect(labels, name).toBeDefined();
        for (const [, label = ''] of selector.matchAll(/(\w+)\s*[!=]~?"/g)) expect(labels, name).toContain(label);
      }
    }
  });

  it('The dashboard shows every documented metric.', () => {
    const shown = new Set(
      dashboard.panels.flatMap(({ targets = [] }) =>
        targets.flatMap(({ expr }) => [...expr.matchAll(/lipsync_\w+/g)].map(([name]) => metricOf(name))),
      ),
    );
    expect([...shown].toSorted()).toEqual([...documented.keys()].toSorted());
  });

  it('The panels of the dashboard have ids of their own and do not overlap.', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });

  it('docs/monitoring.md explains exactly the alerts of the rules.', () => {
    const explained = [...page.matchAll(/^\| `(Lipsync\w+)` \|/gm)].map(([, name = '']) => name);
    expect(explained.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
  });

  it('promtool accepts the rules and their tests.', async ({ skip }) => {
    const run = promisify(execFile);
    if (
      await run('promtool', ['--version']).then(
        () => false,
        () => true,
      )
    )
      skip('promtool is not installed');
    const config = await run('promtool', ['check', 'config', 'prometheus.yml'], { cwd: folder });
    expect(config.stdout).toContain('SUCCESS');
    const tests = await run('promtool', ['test', 'rules', 'alerts.test.yml'], { cwd: folder });
    expect(tests.stdout).toContain('SUCCESS');
  });
});
