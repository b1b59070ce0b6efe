import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { listSettings } from '@lipsync/core/config';
import { DockerfileParser } from 'dockerfile-ast';
import { describe, expect, it } from 'vitest';
import { apiConfigFromEnvironment, apiSettings } from '../apps/api/src/config.ts';
import { workerConfigFromEnvironment, workerSettings, workerStopLimitMs } from '../apps/worker/src/config.ts';
import { chartFolder, listExamples, renderChart } from '../scripts/chart/render.ts';
import { findChartTools, type ChartTools } from '../scripts/chart/tools.ts';
import { parseManifests, validateManifests, type Manifest } from '../scripts/chart/validate.ts';

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly [string, string] } } };
  readonly resources: { readonly limits: Readonly<Record<string, unknown>> };
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Deployment extends Manifest {
  readonly spec: {
    readonly replicas?: number;
    readonly template: {
      readonly spec: {
        readonly containers: readonly [Container];
        readonly securityContext: { readonly runAsUser: number; readonly runAsGroup: number };
        readonly terminationGracePeriodSeconds: number;
        readonly runtimeClassName?: string;
        readonly volumes: readonly ({ readonly name: string } & Readonly<Record<string, unknown>>)[];
      };
    };
  };
}

interface Scaler extends Manifest {
  readonly spec: {
    readonly triggers: readonly { readonly type: string; readonly metadata: Readonly<Record<string, string>> }[];
  };
}

const projectDir = join(import.meta.dirname, '..');
const read = (...path: readonly string[]): string => readFileSync(join(projectDir, ...path), 'utf8');
const settingNames = Object.keys({ ...listSettings(), ...apiSettings, ...workerSettings });

/** Read by Node, Redis and the chart itself. */
const otherVariables = ['NODE_EXTRA_CA_CERTS', 'REDISCLI_AUTH', 'REDIS_PASSWORD'];

/** Time for an API to end open responses and its queues. */
const apiStopS = 6;

/** Values for the variables that a Secret holds. */
const secretValues: Readonly<Record<string, string>> = {
  LIPSYNC_API_KEYS: 'monitoring:0123456789abcdef',
  LIPSYNC_WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32).toString('base64')}`,
  REDIS_URL: 'rediss://user:password@redis.example.org:6379',
};

const instructions = DockerfileParser.parse(read('Dockerfile'))
  .getInstructions()
  .map((line) => line.toString());

/** The lines of the stage that builds an image. */
function stageOf(image: string): readonly string[] {
  const stage = /lipsync-([\w-]+):/.exec(image)?.[1] ?? '';
  const first = instructions.findIndex((line) => line.startsWith('FROM') && line.endsWith(` AS ${stage}`));
  const length = instructions.slice(first + 1).findIndex((line) => line.startsWith('FROM'));
  return instructions.slice(first, length === -1 ? undefined : first + 1 + length);
}

function environmentOf({ env }: Container): Record<string, string> {
  return Object.fromEntries(env.map(({ name, value }) => [name, value ?? secretValues[name] ?? 'secret']));
}

describe('Helm chart', () => {
  it('The templates and examples of the chart use only variables that the code reads.', () => {
    const folders = ['templates', 'examples'].map((folder) => join(chartFolder, folder));
    const texts = folders.flatMap((folder) =>
      readdirSync(join(projectDir, folder)).map((file) => read(folder, file).replaceAll(/#.*$/gm, '')),
    );
    const names = texts.flatMap((text) => text.match(/\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bHOST\b|\bPORT\b/g) ?? []);
    expect(names.length).toBeGreaterThan(20);
    expect(new Set(names.filter((name) => !settingNames.includes(name) && !otherVariables.includes(name)))).toEqual(
      new Set(),
    );
  });

  it('The version of the chart and of the application is that of the project.', () => {
    const { version } = JSON.parse(read('package.json'));
    expect(read(chartFolder, 'Chart.yaml')).toContain(`\nversion: ${version}\nappVersion: ${version}\n`);
  });
});

const installed = findChartTools(projectDir);

describe.skipIf(installed === undefined)('Rendered chart (`npm run chart` installs Helm)', async () => {
  if (installed === undefined) return;
  const tools: ChartTools = installed;
  const examples = await listExamples(projectDir);

  async function render(example: string, set: readonly string[] = []): Promise<Manifest[]> {
    return parseManifests(await renderChart(tools, { projectDir, example, set }));
  }

  const rendered = await Promise.all(examples.map(async (example) => ({ example, manifests: await render(example) })));
  // `as`: the kind decides the shape, which validateManifests checks.
  const deployments = rendered.flatMap(({ example, manifests }) =>
    manifests
      .filter(({ kind }) => kind === 'Deployment')
      .map((manifest) => ({ name: `${example}/${manifest.metadata.name}`, spec: (manifest as Deployment).spec })),
  );
  const pods = deployments.map(({ name, spec }) => {
    const { containers, ...pod } = spec.template.spec;
    return { name, pod, container: containers[0], isApi: containers[0].name === 'api' };
  });

  it('The chart has four sets of values.', () => {
    expect(examples).toHaveLength(4);
    expect(pods.length).toBeGreaterThan(8);
  });

  it.each(rendered)('The objects of $example are valid.', { timeout: 120_000 }, async ({ manifests }) => {
    await expect(validateManifests(manifests, tools.folder)).resolves.toBeUndefined();
  });

  it(
    'The validation finds an unknown field, a wrong type and a key that is written twice.',
    { timeout: 120_000 },
    async () => {
      const service = (spec: object): Manifest => {
        const manifest = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec };
        return manifest;
      };
      await expect(validateManifests([service({ portz: [] })], tools.folder)).rejects.toThrow('portz');
      await expect(validateManifests([service({ ports: 'all' })], tools.folder)).rejects.toThrow('must be array');
      expect(() => parseManifests('a: 1\na: 2\n')).toThrow('unique');
    },
  );

  it.each(pods)('The code accepts the environment of $name.', async ({ container, isApi }) => {
    const environment = environmentOf(container);
    const config = isApi ? apiConfigFromEnvironment(environment) : await workerConfigFromEnvironment(environment);
    expect(config.core.dataDir).toMatch(/^\/storage\//);
    expect(container.env.map(({ name }) => name)).toHaveLength(Object.keys(environment).length);
    expect(
      container.env.filter(
        ({ name, valueFrom }) => name in secretValues && !valueFrom && !environment['REDIS_PASSWORD'],
      ),
    ).toEqual([]);
    expect('LIPSYNC_API_KEYS' in environment).toBe(isApi);
  });

  it.each(pods)(
    'The probes of $name need no key, at the port on which the process listens.',
    ({ container, isApi }) => {
      const { startupProbe, livenessProbe, readinessProbe, ports } = container;
      const environment = environmentOf(container);
      const port = Number(isApi ? environment['PORT'] : environment['METRICS_PORT']);
      expect(environment[isApi ? 'HOST' : 'METRICS_HOST']).toBe('0.0.0.0');
      const probes = [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet);
      expect(probes.map(({ path }) => path)).toEqual(['/health', '/health', '/ready']);
      expect(probes.map((probe) => ports.find(({ name }) => name === probe.port)?.containerPort)).toEqual([
        port,
        port,
        port,
      ]);
      expect(stageOf(container.image)).toContain(`EXPOSE ${port}`);
    },
  );

  it.each(pods)(
    '$name runs as the user of its image, without root and with a read-only file system.',
    ({ pod, container }) => {
      const { runAsUser, runAsGroup } = pod.securityContext;
      expect(stageOf(container.image)).toContain(`USER ${runAsUser}:${runAsGroup}`);
      expect(stageOf(container.image)).toContain('CMD ["node", "dist/main.js"]');
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    },
  );

  it.each(pods)('The folders of $name are volumes, /tmp among them.', ({ pod, container }) => {
    const { LIPSYNC_DATA_DIR = '', LIPSYNC_OUTPUT_DIR = '' } = environmentOf(container);
    const volumeOf = (path: string) => {
      const mount = container.volumeMounts.find(({ mountPath }) => `${path}/`.startsWith(`${mountPath}/`));
      return pod.volumes.find(({ name }) => name === mount?.name);
    };
    expect(volumeOf('/tmp')).toHaveProperty('emptyDir.sizeLimit');
    expect(volumeOf(LIPSYNC_DATA_DIR)).toBeDefined();
    expect(volumeOf(LIPSYNC_DATA_DIR)).toBe(volumeOf(LIPSYNC_OUTPUT_DIR));
  });

  it.each(pods)('Kubernetes gives $name the time that its stop takes.', ({ pod, container, isApi }) => {
    const drainS = Number(environmentOf(container)['WORKER_SHUTDOWN_GRACE_MS']) / 1_000;
    const preStopS = Number(container.lifecycle?.preStop.exec.command[1]);
    const neededS = isApi ? preStopS + apiStopS : drainS + workerStopLimitMs / 1_000;
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(neededS);
  });

  it('A GPU worker has a GPU and the runtime class of NVIDIA.', () => {
    const gpus = pods.filter(({ container }) => container.image.includes('gpu-worker'));
    expect(gpus.map(({ name }) => name)).toEqual(['gpu/demo-lipsync-worker-gpu']);
    expect(gpus[0]?.container.resources.limits).toMatchObject({ 'nvidia.com/gpu': 1 });
    expect(gpus[0]?.pod.runtimeClassName).toBe('nvidia');
  });

  it('KEDA scales every lane by the field of GET /scaling with its name, and Deployments without a fixed number.', () => {
    const scalers = rendered.flatMap(({ manifests }) => manifests.filter(({ kind }) => kind === 'ScaledObject'));
    const triggers = scalers.flatMap((scaler) => (scaler as Scaler).spec.triggers);
    expect(triggers.map(({ type, metadata }) => [type, metadata['valueLocation'], metadata['authMode']])).toEqual([
      ['metrics-api', 'cloud', 'bearer'],
      ['metrics-api', 'render', 'bearer'],
    ]);
    expect(new Set(triggers.map(({ metadata }) => metadata['url']))).toEqual(
      new Set(['http://demo-lipsync-api:3000/scaling']),
    );
    expect(read('docs', 'http-api.md')).toContain('| `GET /scaling` |');
    const scaled = scalers.map(({ metadata }) => deployments.find(({ name }) => name === `s3-keda/${metadata.name}`));
    expect(scaled.map((deployment) => deployment?.spec.replicas)).toEqual([undefined, undefined]);
  });

  it.each([
    ['settings.HEYGEN_API_KEY=key', 'secrets.HEYGEN_API_KEY'],
    ['workers.gpu.settings.PORT=80', 'settings.PORT: the chart sets it'],
    ['workers.cloud.enabled=false', 'at least one must serve the lane cloud'],
    ['workers.gpu.autoscaling.enabled=true', 'apiKeyForMonitoring.name'],
    ['redis.enabled=true', 'redis.passwordSecret.name'],
    ['redis.enabled=true,redis.passwordSecret.name=a,redis.passwordSecret.key=b', 'not both'],
    ['workers.gpu.gpu=2', "additional properties 'gpu' not allowed"],
  ])('The chart refuses %s with the reason.', async (pair, reason) => {
    await expect(render('gpu', [pair])).rejects.toThrow(reason);
  });
});
