/** As much of WGSL's types as an index needs: what an indexed expression has how many of, and what one of them is. */

/** A type: something with elements, a matrix fragment, or anything else by its name. */
export type WgslType =
  | { readonly kind: 'many'; readonly count: string | undefined; readonly element: WgslType }
  | { readonly kind: 'fragment'; readonly columns: string; readonly rows: string; readonly bytes: number }
  | { readonly kind: 'other'; readonly name: string };

/** What a text declares at its top: types by alias, by variable, by function and by field of a struct. */
export class Declared {
  readonly #aliases = new Map<string, string>();
  readonly #variables = new Map<string, string>();
  readonly #functions = new Map<string, string>();
  readonly #fields = new Map<string, string>();

  constructor(text: string) {
    for (const [, name = '', type = ''] of text.matchAll(/^alias (\w+) *= *([^;]*);/gm)) this.#aliases.set(name, type);
    for (const [, name = '', type = ''] of text.matchAll(/\bvar<[^>]*> *(\w+) *: *([^;=]*)/g))
      this.#variables.set(name, type);
    for (const [, name = '', type = ''] of text.matchAll(/^fn (\w+)\([^{]*\) *-> *([^{]*?) *\{/gm)) {
      this.#functions.set(name, type);
    }
    for (const [, body = ''] of text.matchAll(/\bstruct \w+ *\{([^}]*)\}/g)) {
      for (const field of split(body)) {
        const [, name = '', type = ''] = /(\w+) *: *(.*)/s.exec(field) ?? [];
        if (name) this.#fields.set(name, type);
      }
    }
  }

  /** The type that a piece of text names. */
  parse(text: string): WgslType {
    const name = text.trim();
    const alias = this.#aliases.get(name);
    if (alias !== undefined) return this.parse(alias);
    const [, head = '', inner = ''] = /^(\w+)<(.*)>$/s.exec(name) ?? [];
    if (head === 'ptr') return this.parse(split(inner)[1] ?? '');
    if (head === 'array') {
      const [element = '', count] = split(inner);
      return { kind: 'many', count: count?.trim(), element: this.parse(element) };
    }
    if (head.startsWith('subgroup_matrix')) {
      const [component = '', columns = '', rows = ''] = split(inner);
      const of = this.parse(component);
      return { kind: 'fragment', columns, rows, bytes: of.kind === 'other' && of.name === 'f16' ? 2 : 4 };
    }
    const [, vector] = /^vec([234])/.exec(name) ?? [];
    if (vector) return { kind: 'many', count: vector, element: { kind: 'other', name: 'component' } };
    const [, columns, rows] = /^mat([234])x([234])/.exec(name) ?? [];
    if (columns) return { kind: 'many', count: columns, element: this.parse(`vec${rows}f`) };
    return { kind: 'other', name };
  }

  variable(name: string): WgslType | undefined {
    return this.#named(this.#variables, name);
  }

  field(name: string): WgslType | undefined {
    return this.#named(this.#fields, name);
  }

  /** What a call gives: of a function, of a constructor, or of one of WGSL's own that gives what it takes. */
  call(name: string, first: () => WgslType | undefined): WgslType | undefined {
    const own = this.#named(this.#functions, name);
    if (own) return own;
    const made = this.parse(name);
    if (made.kind === 'many') return made;
    return /^(select|min|max|clamp|abs|fma|exp2?|sqrt)$/.test(name) ? first() : undefined;
  }

  #named(table: ReadonlyMap<string, string>, name: string): WgslType | undefined {
    const type = table.get(name);
    return type === undefined ? undefined : this.parse(type);
  }
}

/** Parts between commas that stand in no brackets. */
export function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if ('([{<'.includes(c)) depth++;
    if (')]}>'.includes(c)) depth--;
    if (c === ',' && depth === 0) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(text.slice(from));
  return parts.map(part => part.trim()).filter(part => part !== '');
}

/** Where the bracket at `at` closes. */
export function closing(text: string, at: number): number {
  return matching(text, at, 1);
}

/** Where the bracket that closes at `at` opens. */
export function opening(text: string, at: number): number {
  return matching(text, at, -1);
}

function matching(text: string, at: number, step: 1 | -1): number {
  const [same, other] = [text[at], PARTNER[text[at] as string]];
  for (let i = at, depth = 0; i >= 0 && i < text.length; i += step) {
    if (text[i] === same) depth++;
    if (text[i] === other && --depth === 0) return i;
  }
  throw new Error(`no partner for '${same}' in: ${text.slice(Math.max(0, at - 40), at + 40)}`);
}

const PARTNER: Readonly<Record<string, string>> = {
  ...{ '(': ')', ')': '(', '[': ']', ']': '[', '{': '}', '}': '{' },
};
