import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { countRenderSlots, readMachine } from './render-slots.ts';

const gib = 2 ** 30;

it.each([
  [{ cores: 1, memoryBytes: 0.5 * gib }, 1],
  [{ cores: 2, memoryBytes: 4 * gib }, 1],
  [{ cores: 8, memoryBytes: 64 * gib }, 4],
  [{ cores: 64, memoryBytes: 8 * gib }, 6],
  [{ cores: 512, memoryBytes: 1_024 * gib }, 64],
])('A machine of %j runs %i renders at once.', (machine, slots) => {
  expect(countRenderSlots(machine)).toBe(slots);
});

it('The machine of this process has at least one slot, and no more than a slot for two cores.', async () => {
  const slots = countRenderSlots(await readMachine());
  expect(slots).toBeGreaterThanOrEqual(1);
  expect(slots).toBeLessThanOrEqual(Math.max(1, availableParallelism() / 2));
});

it('The quota of an enclosing cgroup limits the cores of the machine.', async () => {
  const root = await mkdtemp(join(tmpdir(), 'lipsync-slots-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const files = {
    'proc/self/status': 'Cpus_allowed_list:\t0-15\n',
    'proc/self/cgroup': '0::/pod/box\n',
    'sys/fs/cgroup/pod/box/cpu.max': 'max 100000\n',
    'sys/fs/cgroup/pod/cpu.max': '450000 100000\n',
  };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  const { cores } = await readMachine(root);
  expect(cores).toBe(4.5);
  expect(countRenderSlots({ cores, memoryBytes: 64 * gib })).toBe(2);
});
