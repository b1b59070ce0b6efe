import { existsSync, globSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { parseSync } from 'oxc-parser';
import type { ImportRule } from './import-rules.ts';

export interface ImportEdge {
  readonly from: string;
  /** A path from the project, a package name, or `node:` and a built-in module. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const sourceFiles = ['{apps,packages}/*/{src,test}/**/*.ts', 'scripts/**/*.{ts,mjs}', 'test/**/*.ts'];

/**
 * Every import of the project's own sources: static, re-exporting and `import()` of a literal.
 * Throws on a file that does not parse and on a relative or workspace import that leads nowhere.
 */
export function readImportGraph(projectDir: string): ImportEdge[] {
  const workspace = readWorkspaceExports(projectDir);
  return globSync(sourceFiles, { cwd: projectDir, exclude: ['**/node_modules/**', '**/dist/**'] }).flatMap((from) =>
    importsOf(from, readFileSync(join(projectDir, from), 'utf8')).map(({ specifier, typeOnly }) => ({
      from,
      to: resolveImport(projectDir, workspace, from, specifier),
      typeOnly,
    })),
  );
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function importsOf(path: string, source: string): Import[] {
  const { module, errors } = parseSync(path, source);
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`);
  const imported = module.staticImports.map(({ moduleRequest, entries }) => ({
    specifier: moduleRequest.value,
    typeOnly: entries.length > 0 && entries.every(({ isType }) => isType),
  }));
  const reexported = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, isType }) =>
      moduleRequest ? [{ specifier: moduleRequest.value, typeOnly: isType }] : [],
    ),
  );
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
    const [, specifier] = /^['"]([^'"]+)['"]$/.exec(source.slice(start, end)) ?? [];
    return specifier === undefined ? [] : [{ specifier, typeOnly: false }];
  });
  return [...imported, ...reexported, ...dynamic];
}

function resolveImport(
  projectDir: string,
  workspace: ReadonlyMap<string, string>,
  from: string,
  specifier: string,
): string {
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  const own = specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : workspace.get(specifier);
  if (own === undefined) return specifier.startsWith('@lipsync/') ? missing(from, specifier) : packageName(specifier);
  return existsSync(join(projectDir, own)) ? own : missing(from, specifier);
}

function missing(from: string, specifier: string): never {
  throw new Error(`${from} imports ${specifier}, which does not exist.`);
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** Maps `@lipsync/core/config` and its like to the file that a development checkout runs. */
function readWorkspaceExports(projectDir: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of globSync('packages/*/package.json', { cwd: projectDir })) {
    // Our own manifests: `exports` maps subpaths to source files.
    const manifest = JSON.parse(readFileSync(join(projectDir, path), 'utf8')) as {
      name: string;
      exports?: Record<string, string>;
    };
    for (const [subpath, file] of Object.entries(manifest.exports ?? {})) {
      found.set(join(manifest.name, subpath), join(dirname(path), file));
    }
  }
  return found;
}

/** One line for every import that a rule forbids. */
export function findForbiddenImports(edges: readonly ImportEdge[], rules: readonly ImportRule[]): string[] {
  return edges.flatMap(({ from, to }) =>
    rules
      .filter((rule) => rule.from.test(from) && rule.except?.test(from) !== true && rule.to.test(to))
      .map((rule) => `${from} imports ${to}: ${rule.name}`),
  );
}

/** Every circle of files that import each other at run time; each is told once, from where it was entered. */
export function findCycles(edges: readonly ImportEdge[]): string[] {
  const next = Map.groupBy(
    edges.filter(({ typeOnly }) => !typeOnly),
    ({ from }) => from,
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file);
    if (start >= 0) cycles.push([...trail.slice(start), file].join(' -> '));
    if (start >= 0 || done.has(file)) return;
    for (const { to } of next.get(file) ?? []) visit(to, [...trail, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return cycles;
}
