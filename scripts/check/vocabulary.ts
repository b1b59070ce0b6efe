import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Vocabulary {
  /** Regular expressions over lower-case words, each with its replacement. */
  readonly banned: readonly { readonly pattern: string; readonly use: string }[];
  /** Uses that stay, by file and banned pattern, with the reason. */
  readonly allowed: readonly { readonly path: string; readonly pattern: string; readonly reason: string }[];
}

const textFiles = ['*.ts', '*.mjs', '*.md', '*.yml', '*.sh', '.env.example', 'Dockerfile'];
const vocabularyPath = join(import.meta.dirname, 'vocabulary.json');

export function readVocabulary(): Vocabulary {
  // Our own file; the test of this module checks its shape.
  return JSON.parse(readFileSync(vocabularyPath, 'utf8')) as Vocabulary;
}

/** One line per banned expression in the tracked text files of `projectDir`. */
export function findBannedWords(projectDir: string, vocabulary: Vocabulary): string[] {
  const paths = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...textFiles], {
    cwd: projectDir,
    encoding: 'utf8',
  });
  return paths
    .split('\n')
    .filter((path) => path !== '')
    .flatMap((path) => {
      const allowed = new Set(vocabulary.allowed.filter((entry) => entry.path === path).map(({ pattern }) => pattern));
      const banned = vocabulary.banned.filter(({ pattern }) => !allowed.has(pattern));
      return findInText(readFileSync(join(projectDir, path), 'utf8'), banned).map((problem) => `${path}:${problem}`);
    });
}

/** Identifiers count as words: camelCase is split into words. */
export function findInText(text: string, banned: Vocabulary['banned']): string[] {
  const expressions = banned.map(({ pattern, use }) => ({ use, expression: new RegExp(`\\b(?:${pattern})`, 'i') }));
  return text.split('\n').flatMap((line, index) => {
    const words = line.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2');
    return expressions.flatMap(({ expression, use }) => {
      const found = expression.exec(words);
      return found ? [`${index + 1}: "${found[0]}" (use: ${use})`] : [];
    });
  });
}
