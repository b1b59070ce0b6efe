import { execFile } from 'node:child_process';
import { access, constants, mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { configFromEnvironment, type CoreConfig } from '../config.ts';
import { LipsyncError } from '../errors/index.ts';
import { hasCudaLibrary, runtimeLibraryFolder } from '../inference/onnx-session.ts';
import { toolVersions } from '../media/index.ts';
import { parseHeygenEndpoint } from '../providers/heygen/heygen-endpoint.ts';
import { ConfiguredModel, type ConfiguredModelFacts } from '../providers/wav2lip/model/configured-model.ts';
import { isOnnx } from '../providers/wav2lip/model/model-record.ts';
import { writeLine, type Terminal } from './terminal.ts';

interface Finding {
  readonly name: string;
  /** `optional` is missing, but only some uses need it. */
  readonly state: 'ok' | 'optional' | 'missing';
  readonly detail: string;
  /** What to do about it; empty when nothing has to be done. */
  readonly advice: string;
}

const marks = { ok: 'ok      ', optional: 'optional', missing: 'MISSING ' } as const;
const oldestNodeMajor = 24;
const probeTimeoutMs = 10_000;

export function addDoctorCommand(program: Command, terminal: Terminal, setExitCode: (code: number) => void): void {
  program
    .command('doctor')
    .description('say what is installed, configured and missing, and what to do')
    .option('--json', 'print the findings as one line of JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const findings = await examine();
      const print = json ? [JSON.stringify({ findings })] : findings.map(toLine);
      for (const line of print) writeLine(terminal.stdout, line);
      setExitCode(findings.some(({ state }) => state === 'missing') ? 1 : 0);
    });
}

function toLine({ name, state, detail, advice }: Finding): string {
  return `${marks[state]}  ${name.padEnd(16)} ${detail}${advice ? `\n            → ${advice}` : ''}`;
}

async function examine(): Promise<readonly Finding[]> {
  const tools = await toolVersions();
  return [
    nodeFinding(),
    toolFinding('ffmpeg', tools.ffmpeg),
    toolFinding('ffprobe', tools.ffprobe),
    await redisFinding(),
    ...(await settingFindings()),
    { name: 'preview', state: 'ok', detail: 'provider ready; its output is marked degraded', advice: '' },
  ];
}

function nodeFinding(): Finding {
  const good = Number.parseInt(process.versions.node, 10) >= oldestNodeMajor;
  const advice = good ? '' : `Use Node ${oldestNodeMajor} or later; npm run lipsync brings its own.`;
  return { name: 'node', state: good ? 'ok' : 'missing', detail: process.versions.node, advice };
}

function toolFinding(name: string, version: string | null): Finding {
  if (version !== null) return { name, state: 'ok', detail: version, advice: '' };
  return {
    name,
    state: 'missing',
    detail: 'not found',
    advice: 'Install it: apt-get install ffmpeg (macOS: brew install ffmpeg).',
  };
}

/** Redis matters to the service only: programs and this command line work without. */
async function redisFinding(): Promise<Finding> {
  const found = await promisify(execFile)('redis-server', ['--version'], { timeout: probeTimeoutMs }).catch(
    () => undefined,
  );
  const version = found && /v=(\S+)/.exec(found.stdout)?.[1];
  if (version) return { name: 'redis-server', state: 'ok', detail: version, advice: '' };
  const advice =
    'Needed by npm start and npm run demo unless REDIS_URL is set: apt-get install redis-server (macOS: brew install redis).';
  return { name: 'redis-server', state: 'optional', detail: 'not found', advice };
}

async function settingFindings(): Promise<readonly Finding[]> {
  const config = readConfig();
  if (config instanceof LipsyncError) {
    return [
      {
        name: 'settings',
        state: 'missing',
        detail: config.message,
        advice: 'Correct them in the environment or in .env; docs/configuration.md lists them all.',
      },
    ];
  }
  return [
    {
      name: 'settings',
      state: 'ok',
      detail: 'those of the core are understood; npm start checks those of the service',
      advice: '',
    },
    await folderFinding('data folder', config.dataDir, 'LIPSYNC_DATA_DIR'),
    await folderFinding('output folder', config.outputDir, 'LIPSYNC_OUTPUT_DIR'),
    heygenFinding(config),
    await wav2lipFinding(config),
  ];
}

function heygenFinding({ heygen: { apiKey, endpoint, maxConcurrent } }: CoreConfig): Finding {
  const name = 'heygen';
  if (apiKey === null)
    return {
      name,
      state: 'optional',
      detail: 'not configured',
      advice: 'Set HEYGEN_API_KEY to have HeyGen make videos.',
    };
  try {
    const { url, warnings } = parseHeygenEndpoint(endpoint);
    return {
      name,
      state: 'ok',
      detail: `key set; ${url}, at most ${maxConcurrent} operations at once`,
      advice: warnings.join(' '),
    };
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
    return { name, state: 'missing', detail: error.message, advice: 'Correct HEYGEN_API_ENDPOINT, or leave it out.' };
  }
}

async function wav2lipFinding({ wav2lip: { modelPath }, gpuEnabled }: CoreConfig): Promise<Finding> {
  const name = 'wav2lip';
  if (modelPath === null) {
    return {
      name,
      state: 'optional',
      detail: 'not configured',
      advice:
        'Set WAV2LIP_MODEL_PATH to an .onnx model or an official .pth checkpoint; models/README.md says where they come from.',
    };
  }
  try {
    await access(modelPath, constants.R_OK);
  } catch {
    return {
      name,
      state: 'missing',
      detail: `${modelPath} cannot be read`,
      advice: 'Correct WAV2LIP_MODEL_PATH, or make the file readable.',
    };
  }
  const hasCuda = await hasCudaLibrary(runtimeLibraryFolder());
  const detail = `${modelPath}, to run on ${devicesToTry(gpuEnabled, hasCuda)}; ${isOnnx(modelPath) ? 'npm run lipsync -- models verify tries it' : 'the first job imports it, npm run lipsync -- models import does so now'}`;
  return {
    name,
    state: 'ok',
    detail,
    advice: formAdvice(await new ConfiguredModel(modelPath).inspect(), { gpuEnabled, hasCuda }),
  };
}

function devicesToTry(gpuEnabled: boolean, hasCuda: boolean): string {
  if (!gpuEnabled) return 'the CPU alone';
  return hasCuda
    ? 'CUDA, else WebGPU, else the CPU'
    : 'WebGPU, else the CPU (CUDA is not installed; docs/operations.md says how)';
}

/** Which device will be taken is known when a job has run; here, only what was set up for one. */
export function formAdvice(
  { form }: Pick<ConfiguredModelFacts, 'form'>,
  { gpuEnabled, hasCuda }: { readonly gpuEnabled: boolean; readonly hasCuda: boolean },
): string {
  if (form === 'plain' && !gpuEnabled)
    return 'The model is written for a GPU, and LIPSYNC_GPU_ENABLED is false. Import its checkpoint again with --for cpu.';
  if (form === 'rewritten' && gpuEnabled && hasCuda)
    return 'The model is written for a CPU. Import its checkpoint again with --for gpu where a GPU draws.';
  return '';
}

function readConfig(): CoreConfig | LipsyncError {
  try {
    return configFromEnvironment();
  } catch (error) {
    if (LipsyncError.isInstance(error)) return error;
    throw error;
  }
}

async function folderFinding(name: string, path: string, setting: string): Promise<Finding> {
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK);
    return { name, state: 'ok', detail: path, advice: '' };
  } catch {
    return {
      name,
      state: 'missing',
      detail: `${path} cannot be written`,
      advice: `Make it writable or point ${setting} elsewhere.`,
    };
  }
}
