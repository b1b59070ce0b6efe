import type { BatchRequest, Input } from './contract.ts';

/** Columns of a manifest that hold the inputs of an item. */
const inputFields = ['video', 'audio'] as const;

/**
 * Returns the body of a request for a batch: JSON if every input is a URL, else a form with a CSV manifest and each file
 * once. A body can be sent several times.
 */
export function toBatchBody({ items, ...common }: BatchRequest): FormData | string {
  const isUpload = items.some((item) => inputFields.some((field) => item[field] instanceof Blob));
  return isUpload ? toForm(items, common) : JSON.stringify({ ...common, items: items.map(toJsonItem) });
}

function toJsonItem({ video, audio, ...fields }: BatchRequest['items'][number]): object {
  return { video_url: toUrl(video), audio_url: toUrl(audio), ...fields };
}

function toUrl(input: Input): string {
  if (input instanceof Blob) throw new TypeError('A file is no URL.');
  return String(input);
}

function toForm(items: BatchRequest['items'], common: object): FormData {
  const names = new Map<Blob, string>();
  const nameOf = (input: Input): string => {
    if (!(input instanceof Blob)) return toUrl(input);
    // Rows name the part of a file: several files may have equal names.
    const name = names.get(input) ?? `${partPrefix}${names.size + 1}`;
    names.set(input, name);
    return name;
  };
  const rows = items.map((item) => ({ ...item, video: nameOf(item.video), audio: nameOf(item.audio) }));
  const form = new FormData();
  for (const [name, value] of Object.entries(common)) if (value !== undefined) form.append(name, toText(value));
  form.append('manifest', new Blob([toCsv(rows)], { type: 'text/csv' }), 'manifest.csv');
  for (const [file, name] of names) form.append(name, file, file instanceof File ? file.name : name);
  return form;
}

/** A file of a caller hardly has this name. */
const partPrefix = 'file-of-batch-';

function toCsv(rows: readonly object[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = rows.map((row) => {
    const values = new Map<string, unknown>(Object.entries(row));
    return names.map((name) => (values.get(name) === undefined ? '' : toText(values.get(name))));
  });
  return [names, ...lines].map((cells) => `${cells.map(quote).join(',')}\n`).join('');
}

function quote(cell: string): string {
  return `"${cell.replaceAll('"', '""')}"`;
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
