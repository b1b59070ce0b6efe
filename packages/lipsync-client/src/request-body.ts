import type { Input } from './contract.ts';

/**
 * Returns the body of a request for a job: JSON if every input is a URL, else a form. A body can be sent several times.
 */
export function toBody(inputs: Readonly<Record<string, Input | undefined>>, fields: object): FormData | string {
  const given = Object.entries(inputs).flatMap(([name, input]) =>
    input === undefined ? [] : [[name, input] as const],
  );
  const urls = given.flatMap(([name, input]) =>
    input instanceof Blob ? [] : [[`${name}_url`, String(input)] as const],
  );
  const files = given.flatMap(([name, input]) => (input instanceof Blob ? [[name, input] as const] : []));
  if (files.length === 0) return JSON.stringify({ ...Object.fromEntries(urls), ...fields });
  const form = new FormData();
  for (const [name, value] of [...urls, ...Object.entries(fields)])
    if (value !== undefined) form.append(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  for (const [name, file] of files) form.append(name, file, file instanceof File ? file.name : name);
  return form;
}
