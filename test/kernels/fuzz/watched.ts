/**
 * A kernel's own text in which every index asks first: out of range, it is written down and becomes 0. No reading of foreign memory
 * goes unseen, whether its value is used or not, below the start or behind the end, in buffers, in workgroup memory and in arrays of
 * a function. Indices that are constants are left to the compiler, which refuses those that are out of range.
 */
import type { KernelCall } from '../../../src/kernels/kernel.ts';
import { closing, Declared, opening, split, type WgslType } from './wgsl-types.ts';

/** A call with its text so changed, and what stands at each place that can be reported. */
export interface Watched {
  /** Has a binding more: LOG. */
  readonly call: KernelCall;
  /** The indices by number. */
  readonly sites: readonly string[];
}

/** The binding that reports: how many indices were out of range, 1 + the place of one of them, and the largest. */
export const LOG = 'sentry_log';
/** Words of it. */
export const LOG_WORDS = 4;

const SENTRY = `
fn sentry(site: u32, index: u32, length: u32) -> u32 {
  if (index < length) { return index; }
  atomicAdd(&${LOG}[0], 1u);
  atomicMax(&${LOG}[1], site + 1u);
  atomicMax(&${LOG}[2], index);
  return 0u;
}
fn sentry_block(site: u32, start: u32, pitch: u32, lines: u32, width: u32, length: u32) -> u32 {
  if (start < length && pitch < length && start + (lines - 1u) * pitch + width <= length) { return start; }
  return sentry(site, length, length);
}
`;

const known = new Map<string, { readonly text: string; readonly sites: readonly string[] }>();

/** @throws Error for an index whose type this cannot tell: declare it in the kernel */
export function watched(call: KernelCall): Watched {
  const whole = [call.source, ...call.libs].join('\n').replace(/\/\/.*$/gm, '');
  const made = known.get(whole) ?? new Text(call.kernel, whole).watch();
  known.set(whole, made);
  const log = `@group(0) @binding(${call.bindings.length + 1}) var<storage, read_write> ${LOG}: array<atomic<u32>, ${LOG_WORDS}>;`;
  const source = `${made.text}\n${log}\n${SENTRY}`;
  return {
    call: { ...call, source, libs: [], bindings: [...call.bindings, { name: LOG, access: 'update' }] },
    sites: made.sites,
  };
}

type Scope = Map<string, WgslType>;

class Text {
  readonly #kernel: string;
  readonly #text: string;
  readonly #declared: Declared;
  readonly #sites: string[] = [];

  constructor(kernel: string, text: string) {
    this.#kernel = kernel;
    this.#text = text;
    this.#declared = new Declared(text);
  }

  watch(): { text: string; sites: readonly string[] } {
    let out = '';
    let from = 0;
    for (const { index } of this.#text.matchAll(/^fn \w+\(/gm)) {
      const parameters = this.#text.indexOf('(', index);
      const open = this.#text.indexOf('{', closing(this.#text, parameters));
      const end = closing(this.#text, open);
      out += this.#text.slice(from, open);
      out += this.#rewritten(this.#text.slice(open, end + 1), this.#scope(parameters, open, end));
      from = end + 1;
    }
    return { text: out + this.#text.slice(from), sites: this.#sites };
  }

  /** Types of a function's parameters and variables. A name that is declared twice has one type here, the last that is known. */
  #scope(parameters: number, open: number, end: number): Scope {
    const scope: Scope = new Map();
    for (const part of split(this.#text.slice(parameters + 1, closing(this.#text, parameters)))) {
      const [, name = '', type = ''] = /(?:@\w+(?:\([^)]*\))? *)*(\w+) *: *(.*)$/s.exec(part) ?? [];
      scope.set(name, this.#declared.parse(type));
    }
    const body = this.#text.slice(open, end);
    for (const [, name = '', type, value] of body.matchAll(
      /\b(?:var|let) (\w+)(?: *: *([^=;]*[^=; ]))?(?: *= *([^;]*))?;/g,
    )) {
      const found = type ? this.#declared.parse(type) : this.#typeOf(value ?? '', scope);
      if (found) scope.set(name, found);
    }
    return scope;
  }

  /** Of an expression that is one name, call, index or member; undefined for what is put together. */
  #typeOf(expression: string, scope: Scope): WgslType | undefined {
    const text = expression.trim();
    const start = this.#start(text, text.length);
    return start === 0 ? this.#typeBefore(text, text.length, scope) : undefined;
  }

  /** Where the expression that ends at `end` starts: back over members, indices and calls. */
  #start(text: string, end: number): number {
    let at = end;
    for (;;) {
      const c = text[at - 1] ?? '';
      if (c === ']' || c === ')') at = opening(text, at - 1);
      else if (/[\w.]/.test(c)) at--;
      else return at;
    }
  }

  /** The type of the expression that ends before `end`. */
  #typeBefore(text: string, end: number, scope: Scope): WgslType | undefined {
    const before = text.slice(0, end).trimEnd();
    const last = before.length - 1;
    if (before[last] === ']') {
      const type = this.#typeBefore(text, opening(text, last), scope);
      return type?.kind === 'many' ? type.element : undefined;
    }
    if (before[last] === ')') {
      const open = opening(text, last);
      const inner = text.slice(open + 1, last);
      const [name] = /(?:\w+(?:<[\w, ]*>)?)$/.exec(text.slice(0, open)) ?? [];
      if (name) return this.#declared.call(name, () => this.#typeOf(split(inner)[0] ?? '', scope));
      return this.#typeOf(inner.replace(/^\s*\*/, ''), scope);
    }
    const [, dot, name = ''] = /(\.?)(\w+)$/.exec(before) ?? [];
    if (dot) return this.#declared.field(name);
    return scope.get(name) ?? this.#declared.variable(name);
  }

  #rewritten(text: string, scope: Scope): string {
    let out = '';
    for (let i = 0; i < text.length; i++) {
      const block = /^subgroupMatrix(Load|Store)<[^>]*>\(/.exec(text.slice(i, i + 80));
      if (block) {
        const open = i + block[0].length - 1;
        const end = closing(text, open);
        out += block[0] + this.#block(block[0], text.slice(open + 1, end), scope);
        i = end - 1;
      } else if (text[i] === '[') {
        const end = closing(text, i);
        out += `[${this.#index(text, i, text.slice(i + 1, end), scope)}`;
        i = end - 1;
      } else out += text[i];
    }
    return out;
  }

  /** What stands between the brackets that open at `at`. */
  #index(text: string, at: number, inner: string, scope: Scope): string {
    if (isConstant(inner)) return inner;
    const type = this.#typeBefore(text, at, scope);
    const name = text.slice(this.#start(text, at), at);
    if (type?.kind !== 'many')
      throw new Error(`${this.#kernel}: the type of '${name}' in ${name}[${inner}] must be declared`);
    const length = type.count === undefined ? `arrayLength(&${name})` : `u32(${type.count})`;
    const site = this.#site(`${name}[${inner}]`);
    return `sentry(${site}u, u32(${this.#rewritten(inner, scope)}), ${length})`;
  }

  /** Arguments of a load or a store of a fragment. */
  #block(call: string, inner: string, scope: Scope): string {
    const parts = split(inner);
    const [array = '', start = ''] = parts;
    const [, loaded = '', order = ''] = /<(?:(\w+), )?(\w+)>/.exec(call) ?? [];
    const fragment = loaded ? this.#declared.parse(loaded) : this.#typeOf(parts[2] ?? '', scope);
    const type = this.#declared.variable(array.slice(1));
    if (
      fragment?.kind !== 'fragment' ||
      type?.kind !== 'many' ||
      type.element.kind !== 'many' ||
      type.count === undefined
    ) {
      throw new Error(`${this.#kernel}: the types of ${call}${inner}) must be declared`);
    }
    const [lines, width] =
      order === 'row_major' ? [fragment.rows, fragment.columns] : [fragment.columns, fragment.rows];
    const slots = `(u32(${width}) * ${fragment.bytes}u + 15u) / 16u`; // an element of the array is a vec4 of words
    const pitch = parts.at(-1) ?? '';
    const site = this.#site(`${call}${inner})`);
    const asked = `sentry_block(${site}u, ${this.#rewritten(start, scope)}, ${pitch}, u32(${lines}), ${slots}, u32(${type.count}))`;
    return [array, asked, ...parts.slice(2).map(part => this.#rewritten(part, scope))].join(', ');
  }

  #site(what: string): number {
    return this.#sites.push(what) - 1;
  }
}

/** Numbers, constants of the text by their capitals, and what the compiler makes of them. */
function isConstant(index: string): boolean {
  return /^(?:\b\d+u?\b|\b[A-Z][A-Z0-9_]*\b|\b(?:min|max|select|u32)\b|[-+*/%(),\s])*$/.test(index);
}
