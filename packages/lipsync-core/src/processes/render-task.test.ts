import { expect, it } from 'vitest';
import { loadRenderTask, RenderResources } from './render-task.ts';

it.each(['https://example.com/task.js', 'data:text/javascript,export const run = () => 1'])(
  'A render process refuses to load a task from %s, which is not a local file.',
  async (moduleUrl) => {
    await expect(loadRenderTask({ moduleUrl, exportName: 'run' })).rejects.toMatchObject({ code: 'internal' });
  },
);

it('A render process refuses a task whose module does not export the named function.', async () => {
  const task = { moduleUrl: new URL('render-task.ts', import.meta.url).href, exportName: 'missing' };
  await expect(loadRenderTask(task)).rejects.toMatchObject({ code: 'internal' });
});

it('A render process loads a resource once and loads it again after a failure.', async () => {
  const resources = new RenderResources();
  let calls = 0;
  const load = (): Promise<number> => {
    calls += 1;
    return calls === 1 ? Promise.reject(new Error('unreadable')) : Promise.resolve(calls);
  };
  await expect(resources.get(load)).rejects.toThrow('unreadable');
  expect(await resources.get(load)).toBe(2);
  expect(await resources.get(load)).toBe(2);
});
