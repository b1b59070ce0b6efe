import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { findCycles, findForbiddenImports, readImportGraph } from '../scripts/check/import-graph.ts';
import { importRules } from '../scripts/check/import-rules.ts';

const core = 'packages/lipsync-core/src';

/** One import that each rule is there to refuse. */
const badImports: Readonly<Record<string, readonly [from: string, to: string]>> = {
  'apps import packages, never each other (api)': ['apps/api/src/a.ts', 'apps/worker/src/b.ts'],
  'apps import packages, never each other (worker)': ['apps/worker/src/a.ts', 'apps/api/src/b.ts'],
  'packages know no app and no script': [`${core}/a.ts`, 'scripts/b.ts'],
  'the core knows neither HTTP server nor queue': [`${core}/a.ts`, 'bullmq'],
  'only inference/ imports the ONNX runtime': [`${core}/faces/a.ts`, 'onnxruntime-node'],
  'only media/ wraps ffmpeg': [`${core}/jobs/a.ts`, 'fluent-ffmpeg'],
  'only media/ starts ffmpeg, only render/, the engine and the doctor start other programs': [
    `${core}/jobs/a.ts`,
    'node:child_process',
  ],
  'contract/ imports nothing from the rest of the core': [`${core}/contract/a.ts`, `${core}/errors/b.ts`],
  'errors/ imports nothing from the rest of the core': [`${core}/errors/a.ts`, `${core}/jobs/b.ts`],
  'the product knows no stand-in': [`${core}/jobs/a.ts`, 'packages/heygen-standin/src/index.ts'],
  'the stand-in knows nothing of the product': ['packages/heygen-standin/src/a.ts', `${core}/index.ts`],
  'the product imports no test code': [`${core}/jobs/a.ts`, `${core}/jobs/b.test.ts`],
};

function graphOf(files: Readonly<Record<string, string>>): ReturnType<typeof readImportGraph> {
  const folder = mkdtempSync(join(tmpdir(), 'lipsync-imports-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return readImportGraph(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it.each(importRules.map(({ name }) => name))('refuses what is against: %s', (name) => {
  const [from, to] = badImports[name] ?? ['', ''];
  expect(findForbiddenImports([{ from, to, typeOnly: false }], importRules)).toContain(
    `${from} imports ${to}: ${name}`,
  );
});

it('reads static, type-only, re-exporting and dynamic imports', () => {
  const a = `${core}/a.ts`;
  const edges = graphOf({
    [a]: "import { b } from './b.ts';\nimport type { C } from './c.ts';\nexport * from './d.ts';\nawait import('./e.ts');\nimport { spawn } from 'child_process';\nimport x from '@scope/name/deep';\nexport const all: C = [b, spawn, x];\n",
    ...Object.fromEntries(['b', 'c', 'd', 'e'].map((name) => [`${core}/${name}.ts`, 'export {};\n'])),
  });
  expect(edges.map(({ to, typeOnly }) => [to, typeOnly])).toEqual([
    [`${core}/b.ts`, false],
    [`${core}/c.ts`, true],
    ['node:child_process', false],
    ['@scope/name', false],
    [`${core}/d.ts`, false],
    [`${core}/e.ts`, false],
  ]);
});

it('refuses an import that leads nowhere', () => {
  expect(() => graphOf({ [`${core}/a.ts`]: "import './gone.ts';\n" })).toThrow(
    'a.ts imports ./gone.ts, which does not exist',
  );
});

it('finds files that import each other, but not through types', () => {
  const edge = (from: string, to: string, typeOnly = false) => ({ from, to, typeOnly });
  expect(findCycles([edge('a', 'b'), edge('b', 'c'), edge('c', 'a')])).toEqual(['a -> b -> c -> a']);
  expect(findCycles([edge('a', 'b'), edge('b', 'a', true)])).toEqual([]);
});
