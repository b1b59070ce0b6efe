import { toCamelCase } from './case.ts';
import { parseJson } from './json.ts';
import type { LipsyncOptions } from './lipsync-request.ts';

type Kind = 'text' | 'number' | 'boolean' | 'json';

/**
 * How the text of a form field becomes a value. Mapped over the options, so that a new option needs an entry to
 * compile.
 */
const kinds: Readonly<Record<keyof LipsyncOptions, Kind>> = {
  method: 'text',
  optimize: 'text',
  providerOptions: 'json',
  audioTrack: 'number',
  syncMode: 'text',
  silenceMode: 'text',
  startMs: 'number',
  endMs: 'number',
  maxCostUsd: 'number',
  allowPreview: 'boolean',
  minSyncScore: 'number',
  qualityWindows: 'text',
  visibleLabel: 'text',
  labelCorner: 'text',
  aigcProducer: 'text',
  consent: 'json',
  cache: 'boolean',
  deadlineMs: 'number',
  priority: 'number',
  userId: 'text',
  metadata: 'json',
  webhookUrl: 'text',
  webhookProgress: 'boolean',
};

/** Converts form fields to values. Text that does not fit its kind stays text, and the schema refuses it. */
export function readFormValues(fields: ReadonlyMap<string, string>): Map<string, unknown> {
  return new Map([...fields].map(([field, text]) => [field, readFormValue(kindOf(field), text)]));
}

function readFormValue(kind: Kind, text: string): unknown {
  switch (kind) {
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'json':
      return readJson(text);
    case 'text':
      return text;
  }
}

function kindOf(field: string): Kind {
  const found = Object.entries(kinds).find(([option]) => option === toCamelCase(field));
  return found?.[1] ?? 'text';
}

function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}
