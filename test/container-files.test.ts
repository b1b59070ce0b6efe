import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { listSettings } from '@lipsync/core/config';
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
  readonly deploy?: {
    readonly resources: {
      readonly reservations: {
        readonly devices: readonly { readonly driver: string; readonly capabilities: readonly string[] }[];
      };
    };
  };
}

/** Metadata in the package of ONNX Runtime: the files that its install script fetches. */
interface RuntimeScript {
  readonly requirements: Readonly<Record<string, readonly string[]>>;
  readonly manifests: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const projectDir = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8');
const composeText = read('docker-compose.yml');
// `as`: the assertions below check the shape.
const compose = parse(composeText, { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const dockerfile = DockerfileParser.parse(read('Dockerfile'));
const instructions = dockerfile
  .getInstructions()
  .map((line) => ({ keyword: line.getKeyword(), text: line.toString().slice(line.getKeyword().length).trim() }));
const stages = stageInstructions();
const settingNames = [...Object.keys(listSettings()), ...Object.keys(apiSettings), ...Object.keys(workerSettings)];
const own = Object.entries(compose.services).filter(([, service]) => service.build !== undefined);

/** Read by NVIDIA's container toolkit, not by our code. */
const toolkitVariables = ['NVIDIA_DRIVER_CAPABILITIES'];

/** Variables with fixed values, which connect the containers with each other and with their folders. */
const fixedVariables = [
  'HOST',
  'PORT',
  'METRICS_HOST',
  'METRICS_PORT',
  'REDIS_URL',
  'LIPSYNC_DATA_DIR',
  'LIPSYNC_OUTPUT_DIR',
];

/** Variables that a stage of the Dockerfile sets, and the stages that it is based on. */
function variablesOfImage(stage: string): Readonly<Record<string, string>> {
  const lines = stages.get(stage) ?? [];
  const base = /^([\w-]+) AS /.exec(lines[0]?.text ?? '')?.[1];
  const pairs = lines
    .filter(({ keyword }) => keyword === 'ENV')
    .flatMap(({ text }) => [...text.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]));
  return { ...(base !== undefined && stages.has(base) && variablesOfImage(base)), ...Object.fromEntries(pairs) };
}

/** Whether a service receives the value that the operator set, as in `NAME: ${NAME…}`. */
function isPassedOn(variable: string, environment: Service['environment']): boolean {
  return environment?.[variable]?.startsWith(`\${${variable}`) === true;
}

function stageInstructions(): Map<string, typeof instructions> {
  const found = new Map<string, typeof instructions>();
  let current: typeof instructions = [];
  for (const line of instructions) {
    if (line.keyword === 'FROM') found.set(/ AS ([\w-]+)$/.exec(line.text)?.[1] ?? '', (current = []));
    current.push(line);
  }
  return found;
}

describe('Dockerfile', () => {
  it('The Dockerfile copies only files that exist and that .dockerignore includes.', () => {
    const sources = instructions
      .filter(({ keyword, text }) => keyword === 'COPY' && !text.startsWith('--from'))
      .flatMap(({ text }) => text.split(/\s+/).slice(0, -1));
    const letThrough = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((path) => !existsSync(join(projectDir, path)))).toEqual([]);
    expect(sources.filter((path) => !letThrough.some((open) => path === open || path.startsWith(`${open}/`)))).toEqual(
      [],
    );
  });

  it('The Dockerfile uses the pnpm version that the bootstrap pins.', () => {
    const used = [...read('Dockerfile').matchAll(/pnpm@[\d.]+/g)].map(([text]) => text);
    expect(new Set(used)).toEqual(new Set(installCommand.filter((argument) => argument.startsWith('pnpm@'))));
  });

  it.each(['api', 'worker'])(
    'The image of the %s contains built JavaScript and runs as an unprivileged user.',
    (name) => {
      const lines = stages.get(name) ?? [];
      expect(lines.find(({ keyword }) => keyword === 'USER')?.text).toBe('1000:1000');
      expect(lines.find(({ keyword }) => keyword === 'CMD')?.text).toBe('["node", "dist/main.js"]');
      expect(lines.some(({ text }) => text.startsWith(`--from=build /ship/${name}`))).toBe(true);
      expect(existsSync(join(projectDir, 'apps', name, 'src', 'main.ts'))).toBe(true);
    },
  );

  it.each([
    ['api', 'PORT'],
    ['worker', 'METRICS_PORT'],
    ['gpu-worker', 'METRICS_PORT'],
  ])('The image of the %s exposes the port in %s on all addresses, and checks /health there.', (name, setting) => {
    const textOf = (keyword: string): string =>
      (stages.get(name) ?? [])
        .filter((line) => line.keyword === keyword)
        .map(({ text }) => text)
        .join('\n');
    const [, port] = new RegExp(`\\b${setting}=(\\d+)`).exec(textOf('ENV')) ?? [];
    expect(textOf('EXPOSE')).toBe(port);
    expect(textOf('ENV')).toMatch(/HOST=0\.0\.0\.0/);
    expect(textOf('HEALTHCHECK')).toContain(`process.env.${setting} + '/health'`);
  });

  it('The default image is the worker without GPU support.', () => {
    expect([...stages.keys()].at(-1)).toBe('worker');
  });

  it('Every package in the images declares its built exports.', () => {
    const script = instructions.find(({ text }) => text.includes('use-built-exports'))?.text ?? '';
    const folders =
      /use-built-exports\.mjs ((?:packages\/[\w-]+ ?)+)/
        .exec(instructions.map(({ text }) => text).join('\n'))?.[1]
        ?.trim()
        .split(' ') ?? [];
    expect(script).not.toBe('');
    expect(
      folders.map((folder) => JSON.parse(read(`${folder}/package.json`)).publishConfig?.exports?.['.']?.default),
    ).toEqual(folders.map(() => './dist/index.js'));
  });

  it('The Dockerfile sets only variables that the code reads.', () => {
    const names = instructions
      .filter(({ keyword }) => keyword === 'ENV')
      .flatMap(({ text }) => [...text.matchAll(/([A-Z_]+)=/g)].map(([, name]) => name));
    expect(
      names.filter(
        (name) => name !== 'NODE_ENV' && !settingNames.includes(name ?? '') && !toolkitVariables.includes(name ?? ''),
      ),
    ).toEqual([]);
  });
});

describe('image of the GPU worker', () => {
  const lines = stages.get('gpu-worker') ?? [];
  const textOf = (keyword: string): readonly string[] =>
    lines.filter((line) => line.keyword === keyword).map(({ text }) => text);
  const requireFromCore = createRequire(join(projectDir, 'packages', 'lipsync-core', 'package.json'));
  const runtime: RuntimeScript = requireFromCore('onnxruntime-node/script/install-metadata');
  const fetching = stages.get('cuda-build')?.find(({ keyword }) => keyword === 'RUN')?.text ?? '';
  const requiredCuda = /ONNXRUNTIME_NODE_INSTALL=(\w+) node script\/install/.exec(fetching)?.[1] ?? '';

  it('The GPU image fetches the CUDA libraries of the installed ONNX Runtime with its own install script.', () => {
    expect(requireFromCore.resolve('onnxruntime-node/script/install')).toMatch(
      /\/node_modules\/\.pnpm\/onnxruntime-node@[\d.]+\/node_modules\/onnxruntime-node\/script\/install\.js$/,
    );
    expect(fetching).toContain('cd /ship/worker/node_modules/.pnpm/onnxruntime-node@*/node_modules/onnxruntime-node');
    expect(runtime.requirements['linux/x64']).toEqual([requiredCuda]);
    expect(Object.keys(runtime.manifests[`linux/x64:${requiredCuda}`] ?? {})).toContain(
      './libonnxruntime_providers_cuda.so',
    );
    expect(fetching).toContain('test -f bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so');
    expect(textOf('COPY')).toEqual([
      '--from=base /usr/local/bin/node /usr/local/bin/',
      'LICENSE THIRD_PARTY_NOTICES ./',
      '--from=cuda-build /ship/worker ./',
    ]);
  });

  it('The GPU image is based on the CUDA version of ONNX Runtime and on cuDNN.', () => {
    const [image = ''] = textOf('FROM');
    expect(image).toMatch(/^nvidia\/cuda:(\d+)\.[\d.]+-cudnn-runtime-ubuntu24\.04 AS gpu-worker$/);
    expect(`cuda${/cuda:(\d+)/.exec(image)?.[1]}`).toBe(requiredCuda);
  });

  it('The GPU image contains ffmpeg, the Vulkan loader and the libraries of the driver.', () => {
    const packages = /apt-get install -y --no-install-recommends ([^&]+) &&/
      .exec(textOf('RUN').join('\n'))?.[1]
      ?.split(' ');
    expect(packages).toEqual(['ffmpeg', 'libvulkan1', 'libxext6']);
  });

  it('The GPU image has the same folders, command and unprivileged user ids as the worker image.', () => {
    const base = stages.get('base') ?? [];
    for (const keyword of ['VOLUME', 'WORKDIR'])
      expect(textOf(keyword)).toEqual(base.filter((line) => line.keyword === keyword).map(({ text }) => text));
    expect(textOf('ENV')).toContain(base.find(({ keyword }) => keyword === 'ENV')?.text);
    expect(textOf('CMD')).toEqual(
      stages
        .get('worker')
        ?.filter(({ keyword }) => keyword === 'CMD')
        .map(({ text }) => text),
    );
    expect(textOf('ENTRYPOINT')).toEqual(['[]']);
    expect(textOf('USER')).toEqual(['1000:1000']);
    expect(textOf('RUN').join('\n')).toContain('chown 1000:1000 /data /outputs');
  });

  it('The GPU worker of docker-compose.yml uses the GPU image with a GPU and the driver capabilities for CUDA and Vulkan.', () => {
    const { build, deploy } = compose.services['gpu-worker'] ?? {};
    const needed = ['compute', 'utility', 'graphics', 'video'];
    expect(build?.target).toBe('gpu-worker');
    expect(textOf('ENV')).toContain(`NVIDIA_DRIVER_CAPABILITIES=${needed.join(',')}`);
    expect(deploy?.resources.reservations.devices).toMatchObject([
      { driver: 'nvidia', capabilities: ['gpu', ...needed] },
    ]);
  });
});

describe('docker-compose.yml', () => {
  it.each(own)('docker-compose.yml builds %s from an existing stage.', (_name, { build }) => {
    expect(build?.dockerfile).toBe('Dockerfile');
    expect([...stages.keys()]).toContain(build?.target);
  });

  it.each(own)(
    'docker-compose.yml gives %s only variables that the code reads, and a read-only file system.',
    (_name, { environment, read_only: isReadOnly }) => {
      expect(Object.keys(environment ?? {}).filter((name) => !settingNames.includes(name))).toEqual([]);
      expect(isReadOnly).toBe(true);
    },
  );

  it.each(own)(
    'docker-compose.yml passes every setting in .env to %s, except those that connect the containers.',
    (name, { environment, env_file: files }) => {
      expect(files).toEqual([{ path: '.env', required: false }]);
      // A variable that is set here would override the file.
      expect(
        Object.keys(environment ?? {}).filter(
          (variable) => !fixedVariables.includes(variable) && !isPassedOn(variable, environment),
        ),
      ).toEqual(name === 'gpu-worker' ? ['WORKER_LANES'] : []);
    },
  );

  it.each(own)(
    'The variables of the image of %s keep their values when .env.example is the .env.',
    (_name, service) => {
      const ofImage = variablesOfImage(service.build?.target ?? '');
      const inContainer = { ...ofImage, ...parseEnv(read('.env.example')), ...service.environment };
      expect(Object.keys(ofImage).length).toBeGreaterThan(4);
      expect(inContainer).toMatchObject(ofImage);
    },
  );

  it('docker-compose.yml reads only variables that the code reads, and requires API keys.', () => {
    const names = [...composeText.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name ?? '');
    expect(names.filter((name) => !settingNames.includes(name))).toEqual([]);
    expect(compose.services['api']?.environment?.['LIPSYNC_API_KEYS']).toMatch(/^\$\{LIPSYNC_API_KEYS:\?.+\}$/);
  });

  it('docker-compose.yml publishes the port of the API that its image exposes.', () => {
    const port = compose.services['api']?.environment?.['PORT'];
    expect(compose.services['api']?.ports).toEqual([`${port}:${port}`]);
    expect(stages.get('api')?.find(({ keyword }) => keyword === 'EXPOSE')?.text).toBe(port);
  });

  it.each(own)(
    'docker-compose.yml mounts declared volumes at the folders that the variables of %s name.',
    (_name, { environment, volumes }) => {
      const mounts = mountsOf(volumes).filter(({ source }) => !source.startsWith('./'));
      expect(mounts.map(({ target }) => target)).toEqual([
        environment?.['LIPSYNC_DATA_DIR'],
        environment?.['LIPSYNC_OUTPUT_DIR'],
      ]);
      expect(mounts.filter(({ source }) => !(source in compose.volumes))).toEqual([]);
    },
  );

  it.each(own)(
    'docker-compose.yml mounts only existing project folders for %s, and only for reading.',
    (_name, { volumes }) => {
      const folders = mountsOf(volumes).filter(({ source }) => source.startsWith('./'));
      expect(folders.filter(({ source, mode }) => mode !== 'ro' || !existsSync(join(projectDir, source)))).toEqual([]);
    },
  );

  it('The Redis of docker-compose.yml persists its data and never evicts keys.', () => {
    const command = compose.services['redis']?.command?.join(' ');
    expect(command).toContain('--appendonly yes');
    expect(command).toContain('--maxmemory-policy noeviction');
  });

  it('The GPU worker of docker-compose.yml starts only with its profile.', () => {
    expect(compose.services['gpu-worker']?.profiles).toEqual(['gpu']);
  });
});

function mountsOf(
  volumes: readonly string[] = [],
): { readonly source: string; readonly target: string | undefined; readonly mode: string | undefined }[] {
  return volumes.map((volume) => volume.split(':')).map(([source = '', target, mode]) => ({ source, target, mode }));
}
