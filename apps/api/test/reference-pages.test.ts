import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodes } from '@lipsync/core/host';
import { silenceModes, syncModes } from '@lipsync/core/contract';
import { startApi, type RunningApi } from './running-api.ts';

describe('pages below /docs', () => {
  const secret = 'secret-of-sixteen';
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ keys: [{ name: 'a', secret, isAdmin: false }] });
  });
  afterAll(() => api.close());

  const fetchPage = (path: string, init?: RequestInit): Promise<Response> =>
    api.fetch(path, { ...init, headers: { Authorization: `Basic ${btoa(`any:${secret}`)}` } });

  const read = async (path: string): Promise<string> => {
    const response = await fetchPage(path);
    expect(response.status, path).toBe(200);
    return response.text();
  };

  it('The pages and the document need a key, as a bearer token or as the password of a browser.', async () => {
    for (const path of ['/docs/', '/docs/errors', '/openapi.json']) {
      const refused = await api.fetch(path);
      expect([refused.status, refused.headers.get('WWW-Authenticate')], path).toEqual([
        401,
        'Basic realm="lipsync", charset="UTF-8"',
      ]);
      await read(path);
      expect((await api.fetch(path, { headers: { Authorization: `Bearer ${secret}` } })).status, path).toBe(200);
    }
  });

  it('The pages load every script, style, picture and page from the API itself.', async () => {
    const pages = [...(await read('/docs/')).matchAll(/<a href="\.\/([\w-]*)"/g)].map(([, name]) => name);
    expect(pages).toContain('errors');
    for (const page of pages) {
      const html = await read(`/docs/${page}`);
      for (const [, address = ''] of html.matchAll(/(?:src|<link[^>]*href)="([^"]+)"/g)) {
        if (address.startsWith('data:')) continue;
        expect(address).not.toMatch(/^(\w+:|\/)/);
        await read(`/docs/${address}`);
      }
    }
  });

  it('Every link between the pages leads to a heading that exists.', async () => {
    const names = [...(await read('/docs/')).matchAll(/<a href="\.\/([\w-]+)"/g)].map(([, name = '']) => name);
    const pages = new Map(await Promise.all(names.map(async (name) => [name, await read(`/docs/${name}`)] as const)));
    for (const [name, html] of pages) {
      for (const [, target = '', anchor] of html.matchAll(/href="([\w-]*)#([^"]+)"/g)) {
        expect(pages.get(target === '' ? name : target), `${name}: ${target}#${anchor}`).toContain(`id="${anchor}"`);
      }
    }
  });

  it('The pages describe every error code, and every mode with a picture.', async () => {
    const errors = await read('/docs/errors');
    for (const code of errorCodes) expect(errors).toContain(`<td><code>${code}</code></td>`);
    const guide = await read('/docs/http-api');
    for (const picture of [
      ...syncModes.map((mode) => `sync-${mode}`),
      ...silenceModes.map((mode) => `silence-${mode}`),
    ])
      expect(guide).toContain(`src="pictures/${picture}.svg"`);
  });

  it('/docs without a slash redirects to the page relative to its address.', async () => {
    const response = await fetchPage('/docs', { redirect: 'manual' });
    expect([response.status, response.headers.get('Location')]).toEqual([308, 'docs/']);
  });

  it('Every guide has a page.', async () => {
    const names = [...(await read('/docs/')).matchAll(/<a href="\.\/([\w-]+)"/g)].map(([, name]) => `${name}.md`);
    const files = await readdir(new URL('../../../docs', import.meta.url));
    expect(names.toSorted()).toEqual(files.filter((file) => file.endsWith('.md')).toSorted());
  });

  it('Other files of the folders are not served.', async () => {
    for (const path of [
      '/docs/..%2fpackage.json',
      '/docs/assets/..%2fpackage.json',
      '/docs/decisions',
      '/docs/index.html',
    ])
      expect((await fetchPage(path)).status, path).toBeGreaterThanOrEqual(400);
  });

  it('The image of the API contains the guides and their pictures.', async () => {
    const dockerfile = await readFile(new URL('../../../Dockerfile', import.meta.url), 'utf8');
    const names = [...(await read('/docs/')).matchAll(/<a href="\.\/([\w-]+)"/g)].map(([, name = '']) => name);
    for (const name of names) expect(dockerfile).toContain(` docs/${name}.md`);
    expect(dockerfile).toContain('COPY docs/pictures docs/pictures');
  });
});
