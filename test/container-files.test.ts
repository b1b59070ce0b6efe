import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { coreSettings } from '@lipsync/core/config';
import { DockerfileParser } from 'dockerfile-ast';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { apiSettings } from '../apps/api/src/config.ts';
import { workerSettings } from '../apps/worker/src/config.ts';
import { installCommand } from '../scripts/bootstrap/node-packages.mjs';

interface Service {
  readonly build?: { readonly dockerfile: string; readonly target: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly env_file?: readonly { readonly path: string; readonly required: boolean }[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly read_only?: boolean;
  readonly stop_grace_period?: string;
  readonly profiles?: readonly string[];
}

const projectDir = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8');
const composeText = read('docker-compose.yml');
// The shape is what the assertions below are about.
const compose = parse(composeText, { merge: true }) as { services: Record<string, Service>; volumes: Record<string, null> };
const dockerfile = DockerfileParser.parse(read('Dockerfile'));
const instructions = dockerfile.getInstructions().map((line) => ({ keyword: line.getKeyword(), text: line.toString().slice(line.getKeyword().length).trim() }));
const stages = stageInstructions();
const settingNames = [...Object.keys(coreSettings), ...Object.keys(apiSettings), ...Object.keys(workerSettings)];
const own = Object.entries(compose.services).filter(([, service]) => service.build !== undefined);

/** Where the containers find each other and their folders. */
const fittedVariables = ['HOST', 'PORT', 'REDIS_URL', 'LIPSYNC_DATA_DIR', 'LIPSYNC_OUTPUT_DIR'];

/** `NAME: ${NAME…}` hands on what the person set, in the environment or in .env. */
function isPassedOn(variable: string, environment: Service['environment']): boolean {
  return environment?.[variable]?.startsWith(`\${${variable}`) === true;
}

function stageInstructions(): Map<string, typeof instructions> {
  const found = new Map<string, typeof instructions>();
  let current: typeof instructions = [];
  for (const line of instructions) {
    if (line.keyword === 'FROM') found.set(/ AS (\w+)$/.exec(line.text)?.[1] ?? '', (current = []));
    current.push(line);
  }
  return found;
}

describe('Dockerfile', () => {
  it('copies only files that exist and that .dockerignore lets through', () => {
    const sources = instructions
      .filter(({ keyword, text }) => keyword === 'COPY' && !text.startsWith('--from'))
      .flatMap(({ text }) => text.split(/\s+/).slice(0, -1));
    const letThrough = read('.dockerignore').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((path) => !existsSync(join(projectDir, path)))).toEqual([]);
    expect(sources.filter((path) => !letThrough.some((open) => path === open || path.startsWith(`${open}/`)))).toEqual([]);
  });

  it('installs with the package manager that the start-up script pins', () => {
    const used = [...read('Dockerfile').matchAll(/pnpm@[\d.]+/g)].map(([text]) => text);
    expect(new Set(used)).toEqual(new Set(installCommand.filter((argument) => argument.startsWith('pnpm@'))));
  });

  it.each(['api', 'worker'])('ships the built %s, run as a user without rights', (name) => {
    const lines = stages.get(name) ?? [];
    expect(lines.find(({ keyword }) => keyword === 'USER')?.text).toBe('node');
    expect(lines.find(({ keyword }) => keyword === 'CMD')?.text).toBe('["node", "dist/main.js"]');
    expect(lines.some(({ text }) => text.startsWith(`--from=build /ship/${name}`))).toBe(true);
    expect(existsSync(join(projectDir, 'apps', name, 'src', 'main.ts'))).toBe(true);
  });

  it('builds packages that say what they offer once built', () => {
    const script = instructions.find(({ text }) => text.includes('use-built-exports'))?.text ?? '';
    const folders = /use-built-exports\.mjs ((?:packages\/[\w-]+ ?)+)/.exec(instructions.map(({ text }) => text).join('\n'))?.[1]?.trim().split(' ') ?? [];
    expect(script).not.toBe('');
    expect(folders.map((folder) => JSON.parse(read(`${folder}/package.json`)).publishConfig?.exports?.['.']?.default)).toEqual(folders.map(() => './dist/index.js'));
  });

  it('sets only variables that the code reads', () => {
    const names = instructions.filter(({ keyword }) => keyword === 'ENV').flatMap(({ text }) => [...text.matchAll(/([A-Z_]+)=/g)].map(([, name]) => name));
    expect(names.filter((name) => name !== 'NODE_ENV' && !settingNames.includes(name ?? ''))).toEqual([]);
  });
});

describe('docker-compose.yml', () => {
  it.each(own)('builds %s from a stage that exists', (_name, { build }) => {
    expect(build?.dockerfile).toBe('Dockerfile');
    expect([...stages.keys()]).toContain(build?.target);
  });

  it.each(own)('gives %s only variables that the code reads, and a read-only file system', (_name, { environment, read_only: isReadOnly }) => {
    expect(Object.keys(environment ?? {}).filter((name) => !settingNames.includes(name))).toEqual([]);
    expect(isReadOnly).toBe(true);
  });

  it.each(own)('lets every setting in .env reach %s, but for those that fit the containers together', (name, { environment, env_file: files }) => {
    expect(files).toEqual([{ path: '.env', required: false }]);
    // A variable given here would be stuck at its value, whatever the file says.
    expect(Object.keys(environment ?? {}).filter((variable) => !fittedVariables.includes(variable) && !isPassedOn(variable, environment))).toEqual(name === 'gpu-worker' ? ['WORKER_LANES'] : []);
  });

  it('takes only variables from outside that the code reads, and insists on keys', () => {
    const names = [...composeText.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name ?? '');
    expect(names.filter((name) => !settingNames.includes(name))).toEqual([]);
    expect(compose.services['api']?.environment?.['LIPSYNC_API_KEYS']).toMatch(/^\$\{LIPSYNC_API_KEYS:\?.+\}$/);
  });

  it('publishes the port that the API listens on and its image exposes', () => {
    const port = compose.services['api']?.environment?.['PORT'];
    expect(compose.services['api']?.ports).toEqual([`${port}:${port}`]);
    expect(stages.get('api')?.find(({ keyword }) => keyword === 'EXPOSE')?.text).toBe(port);
  });

  it.each(own)('mounts for %s the folders that its variables name, in volumes that are declared', (_name, { environment, volumes }) => {
    const mounts = mountsOf(volumes).filter(({ source }) => !source.startsWith('./'));
    expect(mounts.map(({ target }) => target)).toEqual([environment?.['LIPSYNC_DATA_DIR'], environment?.['LIPSYNC_OUTPUT_DIR']]);
    expect(mounts.filter(({ source }) => !(source in compose.volumes))).toEqual([]);
  });

  it.each(own)('mounts for %s folders of the project only where they exist, and only to be read', (_name, { volumes }) => {
    const folders = mountsOf(volumes).filter(({ source }) => source.startsWith('./'));
    expect(folders.filter(({ source, mode }) => mode !== 'ro' || !existsSync(join(projectDir, source)))).toEqual([]);
  });

  it('runs a Redis that neither forgets nor evicts', () => {
    const command = compose.services['redis']?.command?.join(' ');
    expect(command).toContain('--appendonly yes');
    expect(command).toContain('--maxmemory-policy noeviction');
  });

  it('keeps the GPU worker behind a profile', () => {
    expect(compose.services['gpu-worker']?.profiles).toEqual(['gpu']);
  });
});

function mountsOf(volumes: readonly string[] = []): { readonly source: string; readonly target: string | undefined; readonly mode: string | undefined }[] {
  return volumes.map((volume) => volume.split(':')).map(([source = '', target, mode]) => ({ source, target, mode }));
}
