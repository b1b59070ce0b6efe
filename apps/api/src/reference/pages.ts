import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { Router, type RequestHandler } from 'express';
import { Marked } from 'marked';
import { gfmHeadingId } from 'marked-gfm-heading-id';

/**
 * Pages below `/docs`: the reference of all routes and the guides in the folder `docs`. Nothing is loaded from
 * elsewhere.
 */

const packageFolder = join(import.meta.dirname, '..', '..');
const assetsFolder = join(packageFolder, 'assets');

/** The guides are part of the image, or of the repository around this package. */
const guidesFolder = [join(packageFolder, 'docs'), join(packageFolder, '..', '..', 'docs')].find((folder) =>
  existsSync(join(folder, 'http-api.md')),
);

const swaggerFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const swaggerFiles = ['swagger-ui-bundle.js', 'swagger-ui.css'] as const;

/** Guides by the name of their page, in the order of the menu. */
const guideTitles: Readonly<Record<string, string>> = {
  'http-api': 'HTTP API',
  batches: 'Batches',
  webhooks: 'Webhooks',
  inputs: 'Inputs',
  errors: 'Errors and warnings',
  quality: 'Quality',
  configuration: 'Settings',
  operations: 'Operations',
  monitoring: 'Monitoring',
  redis: 'Redis and backups',
  storage: 'Storage',
  'object-store': 'Object store',
  kubernetes: 'Kubernetes',
  gpus: 'GPUs',
  marking: 'Marking of outputs',
  'data-protection': 'Data protection',
  measurements: 'Measurements',
};

/** Serves the pages. They need no key: they describe the service, not what is stored in it. */
export function createReferencePages(): RequestHandler {
  const router = Router({ strict: true });
  router.get('/', (request, response) => {
    // Addresses in the page are relative, so that it works below any path prefix of a proxy.
    if (!request.originalUrl.replace(/\?.*$/, '').endsWith('/')) return response.redirect(308, 'docs/');
    return response.type('html').send(referencePage());
  });
  for (const name of swaggerFiles)
    router.get(`/${name}`, (_request, response) => response.sendFile(name, { root: swaggerFolder }));
  router.use('/assets', express.static(assetsFolder, { index: false, redirect: false }));
  if (guidesFolder !== undefined) {
    router.use('/pictures', express.static(join(guidesFolder, 'pictures'), { index: false, redirect: false }));
    for (const name of Object.keys(guideTitles))
      router.get(`/${name}`, async (_request, response) => {
        response.type('html').send(guidePage(name, await readFile(join(guidesFolder, `${name}.md`), 'utf8')));
      });
  }
  return router;
}

function referencePage(): string {
  return layout('', {
    head: '<link rel="stylesheet" href="swagger-ui.css">',
    body: '<div id="reference"></div><script src="swagger-ui-bundle.js"></script><script src="assets/start-reference.js"></script>',
  });
}

function guidePage(name: string, markdown: string): string {
  return layout(name, { head: '', body: `<main>${renderGuide(markdown)}</main>` });
}

/** Links to other guides lead to their pages; the text of links to files that are not served stays. */
function renderGuide(markdown: string): string {
  const marked = new Marked(gfmHeadingId(), {
    renderer: {
      link({ href, tokens }) {
        const text = this.parser.parseInline(tokens);
        const [, guide, anchor = ''] = /^([\w-]+)\.md(#.*)?$/.exec(href) ?? [];
        if (guide !== undefined) return guide in guideTitles ? `<a href="${guide}${anchor}">${text}</a>` : text;
        return /^(https?:|#)/.test(href) ? false : text;
      },
    },
  });
  return marked.parse(markdown, { async: false });
}

function layout(name: string, { head, body }: { readonly head: string; readonly body: string }): string {
  const entries = [['', 'Reference'], ...Object.entries(guidesFolder === undefined ? {} : guideTitles)];
  const menu = entries.map(
    ([path = '', title]) => `<a href="./${path}"${path === name ? ' aria-current="page"' : ''}>${title}</a>`,
  );
  const title = guideTitles[name] ?? 'Reference';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title} - Lipsync</title>
<link rel="icon" href="data:,">
${head}
<link rel="stylesheet" href="assets/docs.css">
</head>
<body>
<nav>${menu.join('')}</nav>
${body}
</body>
</html>
`;
}
