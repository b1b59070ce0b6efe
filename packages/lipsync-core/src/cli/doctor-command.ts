import type { Command } from 'commander';
import { configFromEnvironment, type CoreConfig } from '../config.ts';
import { LipsyncError } from '../errors/index.ts';
import { oldestNodeMajor } from '../errors/require-node.ts';
import { getToolVersions } from '../media/index.ts';
import { readProgramOutput } from '../processes/managed-child.ts';
import type { DoctorCheck, ProviderDefinition } from '../providers/definition.ts';
import { listInstalled } from '../service/installation.ts';
import { diagnoseQualityModels } from '../service/quality-models.ts';
import { diagnoseMarking } from '../service/signing-identity.ts';
import { createArtifactStore, type FolderHealth } from '../storage/index.ts';
import { writeLine, type Terminal } from './terminal.ts';

const marks = { ok: 'ok      ', optional: 'optional', missing: 'MISSING ' } as const;
const probeTimeoutMs = 10_000;

export function addDoctorCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  program
    .command('doctor')
    .description('show what is installed, configured and missing, and how to fix it')
    .option('--json', 'print the findings as one line of JSON on stdout')
    .action(async ({ json }: { json?: boolean }) => {
      const findings = await examine(definitions);
      const print = json ? [JSON.stringify({ findings })] : findings.map(toLine);
      for (const line of print) writeLine(terminal.stdout, line);
      setExitCode(findings.some(({ state }) => state === 'missing') ? 1 : 0);
    });
}

function toLine({ name, state, detail, advice }: DoctorCheck): string {
  return `${marks[state]}  ${name.padEnd(16)} ${detail}${advice ? `\n            → ${advice}` : ''}`;
}

async function examine(definitions: readonly ProviderDefinition[]): Promise<readonly DoctorCheck[]> {
  const tools = await getToolVersions();
  return [
    nodeFinding(),
    toolFinding('ffmpeg', tools.ffmpeg),
    toolFinding('ffprobe', tools.ffprobe),
    await redisFinding(),
    ...(await settingFindings(definitions)),
  ];
}

function nodeFinding(): DoctorCheck {
  const good = Number.parseInt(process.versions.node, 10) >= oldestNodeMajor;
  const advice = good ? '' : `Use Node ${oldestNodeMajor} or later; npm run lipsync installs its own.`;
  return { name: 'node', state: good ? 'ok' : 'missing', detail: process.versions.node, advice };
}

function toolFinding(name: string, version: string | null): DoctorCheck {
  if (version !== null) return { name, state: 'ok', detail: version, advice: '' };
  return {
    name,
    state: 'missing',
    detail: 'not found',
    advice: 'Install it: apt-get install ffmpeg (macOS: brew install ffmpeg).',
  };
}

/** Only the service needs Redis. */
async function redisFinding(): Promise<DoctorCheck> {
  const output = await readProgramOutput('redis-server', ['--version'], probeTimeoutMs);
  const version = output && /v=(\S+)/.exec(output)?.[1];
  if (version) return { name: 'redis-server', state: 'ok', detail: version, advice: '' };
  const advice =
    'npm start and npm run demo need it unless REDIS_URL is set: apt-get install redis-server (macOS: brew install redis).';
  return { name: 'redis-server', state: 'optional', detail: 'not found', advice };
}

async function settingFindings(definitions: readonly ProviderDefinition[]): Promise<readonly DoctorCheck[]> {
  const config = readConfig(definitions);
  if (config instanceof LipsyncError) {
    return [
      {
        name: 'settings',
        state: 'missing',
        detail: config.message,
        advice: 'Correct them in the environment or in .env; docs/configuration.md lists all settings.',
      },
    ];
  }
  return [
    {
      name: 'settings',
      state: 'ok',
      detail: 'core settings are valid; API and worker check theirs at start',
      advice: '',
    },
    ...(await folderFindings(config)),
    ...(await Promise.all(listInstalled(config).map(({ configured }) => configured.diagnose()))),
    ...(await diagnoseQualityModels(config)),
    await diagnoseMarking(config, Date.now()),
  ];
}

function readConfig(definitions: readonly ProviderDefinition[]): CoreConfig | LipsyncError {
  try {
    return configFromEnvironment(undefined, definitions);
  } catch (error) {
    if (LipsyncError.isInstance(error)) return error;
    throw error;
  }
}

/**
 * Tries a write in both folders, or in the data folder and the bucket, as `/ready` does: permissions alone do not show
 * a full or read-only disk.
 */
async function folderFindings(config: CoreConfig): Promise<readonly DoctorCheck[]> {
  const { inputs, outputs } = await createArtifactStore(config).health();
  if (config.artifactStore.kind === 'file')
    return [folderFinding('data folder', { ...inputs, path: config.dataDir }), folderFinding('output folder', outputs)];
  const bucket = folderFinding('object store', outputs);
  // When the bucket fails, `inputs` has its failure, and the state of the data folder is unknown.
  return outputs.error ? [bucket] : [folderFinding('data folder', { ...inputs, path: config.dataDir }), bucket];
}

function folderFinding(name: string, { path, error }: Pick<FolderHealth, 'path' | 'error'>): DoctorCheck {
  if (error === null) return { name, state: 'ok', detail: path, advice: '' };
  return { name, state: 'missing', detail: `${path} cannot be used`, advice: error.message };
}
