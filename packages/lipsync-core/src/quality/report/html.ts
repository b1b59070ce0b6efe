/** Markup that is safe to insert as it is. Only `html` makes it. */
export interface Markup {
  readonly markup: string;
}

type Value = string | number | Markup | readonly Markup[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function toMarkup(value: Value): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return value.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
  return isList(value) ? value.map(({ markup }) => markup).join('') : value.markup;
}

function isList(value: Markup | readonly Markup[]): value is readonly Markup[] {
  return Array.isArray(value);
}

/** Template tag: every value is escaped unless it is markup itself. Attributes must be quoted. */
export function html(texts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return {
    markup: texts.map((text, index) => text + (index < values.length ? toMarkup(values[index] ?? '') : '')).join(''),
  };
}

export const nothing: Markup = html``;
